/** What stands for a criterion in the input format `binary_pairs`: a short text that the model reads before the post. */
import { inputError } from "../support/errors.ts";

/** A criterion to predict. */
export interface Criterion {
  /** The label in the annotations table. */
  readonly name: string;
  readonly text: string;
}

/** RedSM5's nine criteria, after the symptoms A.1 to A.9 of a major depressive episode in DSM-5, in words of our own. */
const REDSM5_TEXTS: Readonly<Record<string, string>> = {
  DEPRESSED_MOOD: "Depressed mood: feels sad, empty or hopeless most of the day, nearly every day.",
  ANHEDONIA: "Loss of interest: hardly any interest or pleasure in nearly all activities.",
  APPETITE_CHANGE: "Change of appetite: eats much less or much more than usual, loses or gains weight without a diet.",
  SLEEP_ISSUES: "Sleep problems: cannot fall asleep or stay asleep, or sleeps far too much.",
  PSYCHOMOTOR: "Psychomotor change: too restless to keep still, or slowed down so that others notice.",
  FATIGUE: "Fatigue: tired and without energy nearly every day.",
  WORTHLESSNESS: "Worthlessness: feels worthless, or guilty far beyond reason.",
  COGNITIVE_ISSUES: "Trouble thinking: cannot concentrate, think clearly or make decisions.",
  SUICIDAL_THOUGHTS: "Suicidal thoughts: thinks of death or suicide again and again, plans or has attempted it.",
};

/** A label as words: `SPECIAL_CASE` is "special case". */
function words(label: string): string {
  return label.replaceAll("_", " ").trim().toLowerCase();
}

/**
 * Each criterion with its text: the one given, else the built-in one for RedSM5's nine, else the label as words.
 *
 * @param given Texts by label (`data.criterion_texts`), for some or all criteria; null gives none
 * @throws inputError when a text is for a label that is no criterion
 *
 * @example
 * ```ts
 * import { criterionTexts } from "./criterion_texts.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual(criterionTexts(["JOY_OF_LIFE"], null), [{ name: "JOY_OF_LIFE", text: "joy of life" }]);
 * ```
 */
export function criterionTexts(
  criteria: readonly string[],
  given: Readonly<Record<string, string>> | null,
): Criterion[] {
  const texts = new Map([...Object.entries(REDSM5_TEXTS), ...Object.entries(given ?? {})]);
  const unknown = Object.keys(given ?? {}).find((label) => !criteria.includes(label));
  if (unknown !== undefined) {
    throw inputError(
      `data.criterion_texts has a text for "${unknown}", which is none of the criteria ${criteria.join(", ")}`,
      "Take it out, or add the label to data.criteria",
    );
  }
  return criteria.map((name) => ({ name, text: texts.get(name) ?? words(name) }));
}
