/** A prediction for people: the text with its evidence marked, and the criteria that it meets. */
import type { TextPrediction } from "../report/prediction.ts";
import type { PredictedText } from "../study/predict.ts";

/** SGR codes of backgrounds that black letters are read on, in light and dark terminals. */
const COLOURS = [43, 46, 42, 45, 103, 106, 102, 105, 47] as const;

/** Control characters but tab and line break: in a terminal they are commands, and texts come from anybody. */
// deno-lint-ignore no-control-regex -- these are what is looked for
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;

const printable = (text: string) => text.replace(CONTROLS, "\ufffd");

type Criterion = TextPrediction["criteria"][number];

/** The parts of a text by the criteria whose evidence they are, in order: every character is in one part. */
export function evidenceParts(
  text: string,
  present: readonly Pick<Criterion, "criterion" | "evidence">[],
): { text: string; criteria: string[] }[] {
  const edges = new Set([
    0,
    text.length,
    ...present.flatMap(({ evidence }) => evidence.flatMap((one) => [one.start, one.end])),
  ]);
  const places = [...edges].sort((a, b) => a - b);
  return places.slice(0, -1).map((start, i) => ({
    text: text.slice(start, places[i + 1]!),
    criteria: present.filter(({ evidence }) => evidence.some((one) => one.start <= start && start < one.end))
      .map(({ criterion }) => criterion),
  }));
}

/**
 * A prediction as text: the id, the post with the evidence of what is present marked, then a line for each criterion that is
 * present. Without colours evidence stands in brackets with the criteria behind it. There is no final newline.
 */
export function predictionText({ text, prediction }: PredictedText, { colours }: { colours: boolean }): string {
  const { id, criteria, truncated_tokens } = prediction;
  const present = criteria.filter((one) => one.present).toSorted((a, b) => b.probability - a.probability);
  const codeOf = (criterion: string) =>
    COLOURS[criteria.findIndex((one) => one.criterion === criterion) % COLOURS.length];
  const mark = (part: string, names: readonly string[]) => {
    if (names.length === 0) return part;
    if (!colours) return `[${part}](${names.join(", ")})`;
    // Line by line, so that a background does not run on to the edge of the terminal.
    return part.split("\n").map((line) => line === "" ? "" : `\x1b[30;${codeOf(names[0]!)}m${line}\x1b[0m`).join("\n");
  };
  const bold = (name: string) => colours ? `\x1b[1m${name}\x1b[0m` : name;
  const swatch = (criterion: string) => colours ? `\x1b[30;${codeOf(criterion)}m  \x1b[0m ` : "";
  const width = Math.max(0, ...present.map(({ criterion }) => criterion.length));
  const lines = present.map(({ criterion, probability, threshold, evidence }) => {
    const places = evidence.map(({ start, end }) => `${start}–${end}`).join(", ");
    return `  ${swatch(criterion)}${criterion.padEnd(width)}  ${probability.toFixed(3)} (≥ ${threshold.toFixed(3)})  ${
      places === "" ? "no evidence found" : `evidence at ${places}`
    }`;
  });
  const surest = criteria.reduce((a, b) => b.probability > a.probability ? b : a);
  return [
    ...(id === null ? [] : [bold(`── ${printable(String(id))}`)]),
    evidenceParts(text, present).map((part) => mark(printable(part.text), part.criteria)).join("").trimEnd(),
    ...(lines.length > 0 ? lines : [
      `  no criterion is present; the nearest is ${surest.criterion} with ${surest.probability.toFixed(3)}`,
    ]),
    ...(truncated_tokens > 0 ? [`  the last ${truncated_tokens} tokens were not read: the text is too long`] : []),
  ].join("\n");
}
