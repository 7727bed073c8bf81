/** Evidence examples: a post with what annotators marked and what the model gave. Made only where text is asked for. */
import { type Markup, markup } from "./markup.ts";

/** A range of UTF-16 offsets. */
export interface CharacterRange {
  readonly start: number;
  readonly end: number;
}

/** How the given evidence compares with the gold one. */
export const OUTCOMES = ["exact", "partial", "missed", "unfounded"] as const;

/** A post and a criterion. */
export interface EvidenceExample {
  readonly postId: string;
  readonly criterion: string;
  readonly text: string;
  readonly gold: readonly CharacterRange[];
  readonly given: readonly CharacterRange[];
  /** The criterion's probability. */
  readonly probability: number;
  readonly outcome: typeof OUTCOMES[number];
}

const TITLES: Readonly<Record<EvidenceExample["outcome"], string>> = {
  exact: "Found exactly",
  partial: "Found in part",
  missed: "Missed",
  unfounded: "Given where annotators marked none",
};

/** How given ranges compare with gold ones; null where there are neither. */
export function outcomeOf(
  gold: readonly CharacterRange[],
  given: readonly CharacterRange[],
): EvidenceExample["outcome"] | null {
  if (gold.length === 0) return given.length === 0 ? null : "unfounded";
  const touches = gold.some((a) => given.some((b) => a.start < b.end && b.start < a.end));
  if (!touches) return "missed";
  const same = gold.length === given.length &&
    gold.every((a) => given.some((b) => a.start === b.start && a.end === b.end));
  return same ? "exact" : "partial";
}

/** A text cut where something begins or ends. */
export function segments(
  { text, gold, given }: Pick<EvidenceExample, "text" | "gold" | "given">,
): { text: string; gold: boolean; given: boolean }[] {
  const inside = (place: number) => Math.min(Math.max(place, 0), text.length);
  const cuts = [...gold, ...given].flatMap(({ start, end }) => [inside(start), inside(end)]);
  const places = [...new Set([0, ...cuts, text.length])].sort((a, b) => a - b);
  const covers = (ranges: readonly CharacterRange[], at: number) =>
    ranges.some(({ start, end }) => start <= at && at < end);
  return places.slice(0, -1).map((from, i) => ({
    text: text.slice(from, places[i + 1]),
    gold: covers(gold, from),
    given: covers(given, from),
  }));
}

/** The section, or null where there are no examples. */
export function evidenceExamples(examples: readonly EvidenceExample[]): Markup | null {
  if (examples.length === 0) return null;
  const groups = OUTCOMES.flatMap((outcome) => {
    const members = examples.filter((one) => one.outcome === outcome);
    return members.length === 0 ? [] : [markup`<h3>${TITLES[outcome]}</h3>${members.map(article)}`];
  });
  return markup`<p class="warning">This file holds text of posts: treat it as you treat the dataset.</p><ul class="legend"><li><mark class="gold">annotators' evidence</mark><li><mark class="given">the model's</mark><li><mark class="gold given">both</mark></ul>${groups}`;
}

function article(example: EvidenceExample): Markup {
  const { postId, criterion, probability, text, gold, given } = example;
  const quotes = (ranges: readonly CharacterRange[]) =>
    ranges.length === 0 ? "none" : ranges.map(({ start, end }) => `“${text.slice(start, end)}”`).join(" … ");
  const parts = segments(example).map((part) =>
    part.gold || part.given
      ? markup`<mark class="${
        [part.gold && "gold", part.given && "given"].filter(Boolean).join(" ")
      }">${part.text}</mark>`
      : part.text
  );
  return markup`<article class="post"><h4><code>${criterion}</code>, probability ${
    probability.toFixed(2)
  }, post ${postId}</h4><p class="text">${parts}</p><dl><dt>annotators<dd>${quotes(gold)}<dt>model<dd>${
    quotes(given)
  }</dl></article>`;
}
