/**
 * Changes to a text inside of its evidence, and where its spans are afterwards.
 *
 * The one rule that keeps spans right: the starts and ends of all evidence cut the evidence into segments, and an edit
 * lies inside of one segment. So nothing outside of evidence is touched, every start and end has one place in the new
 * text, and spans that overlap, touch or nest do so afterwards.
 */
import type { CharacterSpan } from "../dataset.ts";

/** Replaces [start, end) of a text; start = end inserts. Positions are UTF-16 units of the text before any edit. */
export interface Edit extends CharacterSpan {
  text: string;
}

/** Stretches of evidence between which no span begins or ends, in the order of the text. */
export function evidenceSegments(spans: readonly CharacterSpan[]): CharacterSpan[] {
  const cuts = [...new Set(spans.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
  return cuts.slice(1)
    .map((end, i) => ({ start: cuts[i]!, end }))
    .filter((segment) => spans.some((span) => span.start <= segment.start && segment.end <= span.end));
}

/** A text with its edits made. */
export interface EditedText {
  text: string;
  /** Where a start or an end of a segment is now. */
  position(before: number): number;
}

/**
 * Makes the edits of a text, given in any order.
 *
 * @throws RangeError where two overlap, or one is not inside of one segment: a mistake of the method that proposed it
 */
export function applyEdits(text: string, segments: readonly CharacterSpan[], edits: readonly Edit[]): EditedText {
  const ordered = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  ordered.forEach((edit, i) => {
    if (edit.start > edit.end || !segments.some((segment) => contains(segment, edit))) {
      throw new RangeError(`Expected an edit inside of one segment but found [${edit.start}, ${edit.end})`);
    }
    if (i > 0 && ordered[i - 1]!.end > edit.start) throw new RangeError(`Two edits overlap at ${edit.start}`);
  });
  const parts: string[] = [];
  let from = 0;
  for (const edit of ordered) {
    parts.push(text.slice(from, edit.start), edit.text);
    from = edit.end;
  }
  parts.push(text.slice(from));
  return {
    text: parts.join(""),
    position: (before) =>
      ordered.filter(({ end }) => end <= before).reduce(
        (at, edit) => at + edit.text.length - (edit.end - edit.start),
        before,
      ),
  };
}

/** An insertion at the edge of a segment would belong to both sides. */
function contains(segment: CharacterSpan, { start, end }: CharacterSpan): boolean {
  if (start === end) return segment.start < start && end < segment.end;
  return segment.start <= start && end <= segment.end;
}
