/**
 * Augmentation of the training split: copies of examples with changes in their evidence and nowhere else.
 *
 * The copies stand after the originals, so that the originals keep their place. What happens to an example depends on
 * its id and the seed, not on the other examples or their order.
 */
import { createHash } from "node:crypto";
import type { AugmentationMethodName } from "./registry.ts";
import { randomStream } from "../../support/rng.ts";
import type { CharacterSpan, Example } from "../dataset.ts";
import { withArticles } from "./articles.ts";
import { applyEdits, type Edit, evidenceSegments } from "./edits.ts";
import type { AugmentationServices, MethodOptions, Passage } from "./method.ts";
import { METHODS } from "./registry.ts";
import { segmentWords } from "./words.ts";

/** Which methods, how often, how strongly. */
export interface AugmentationOptions extends MethodOptions {
  readonly methods: readonly AugmentationMethodName[];
  /** Probability that an example with evidence gets a copy. */
  readonly prob: number;
  readonly seed: number;
}

/** What a copy keeps of how it came about. */
export interface AugmentationRecord {
  /** Post id of the original. */
  readonly sourceId: string;
  readonly originalText: string;
  readonly method: AugmentationMethodName;
  readonly seed: number;
  /** The changed ranges, in the original and in the copy, in the order of the text. */
  readonly edits: readonly { readonly before: CharacterSpan; readonly after: CharacterSpan }[];
}

/** What augmentation came to. */
export interface AugmentationCounts {
  /** Training posts with evidence. */
  candidates: number;
  /** Copies added. */
  made: number;
  /** Posts that were drawn but in which the method found nothing to change. */
  unchanged: number;
  /** The same by method, for those that were drawn. */
  byMethod: Partial<Record<AugmentationMethodName, { made: number; unchanged: number }>>;
}

/** The copies, in the order of their originals. */
export interface Augmentation {
  readonly examples: readonly Example[];
  readonly counts: AugmentationCounts;
  /** SHA-256 (hex) over ids, texts, labels and evidence of the copies. */
  readonly hash: string;
}

/** An example that was drawn, with the method and the passages that it may change. */
interface Draft {
  readonly example: Example;
  readonly method: AugmentationMethodName;
  readonly segments: readonly CharacterSpan[];
  readonly passages: readonly Passage[];
}

/**
 * Makes augmented copies of training examples. The originals are not among them.
 *
 * @throws what the services throw: an input error where WordNet, a model or a translation cannot be had
 */
export async function augmentExamples(
  train: readonly Example[],
  options: AugmentationOptions,
  services: AugmentationServices,
): Promise<Augmentation> {
  const candidates = train.filter(({ allEvidence }) => allEvidence.some((spans) => spans.length > 0));
  const drafts = candidates.flatMap((example) => draw(example, options) ?? []);
  const proposals = new Map<Draft, Edit[]>();
  for (const [method, ofMethod] of Map.groupBy(drafts, (draft) => draft.method)) {
    const passages = ofMethod.flatMap((draft) => draft.passages);
    const edits = await METHODS[method].propose(passages, services, options);
    let next = 0;
    for (const draft of ofMethod) {
      proposals.set(draft, draft.passages.flatMap((passage) => checked(passage, edits[next++]!)));
    }
  }
  const counts: AugmentationCounts = { candidates: candidates.length, made: 0, unchanged: 0, byMethod: {} };
  const taken = new Set(train.map(({ postId }) => postId));
  const examples = drafts.flatMap((draft) => {
    const copy = makeCopy(draft, proposals.get(draft)!, options.seed, taken);
    const outcome = copy ? "made" : "unchanged";
    counts[outcome]++;
    (counts.byMethod[draft.method] ??= { made: 0, unchanged: 0 })[outcome]++;
    return copy ? [copy] : [];
  });
  return { examples, counts, hash: hashExamples(examples) };
}

/** Throws the dice for one example. */
function draw(example: Example, { methods, prob, seed }: AugmentationOptions): Draft | undefined {
  const { postId, text, allEvidence } = example;
  const random = randomStream(seed, "augmentation", postId);
  if (methods.length === 0 || random.uniform() >= prob) return undefined;
  // Sorted, so that the order in which the configuration lists them has no influence.
  const method = random.pick(methods.toSorted());
  const segments = evidenceSegments(allEvidence.flat());
  const passages = segments.map((segment, i): Passage => ({
    ...segment,
    text,
    words: segmentWords(text, segment),
    random: randomStream(seed, "augmentation", postId, method, i),
  }));
  return { example, method, segments, passages };
}

/** The edits of a passage with the articles in agreement; none where they would leave nothing of it. */
function checked(passage: Passage, proposed: readonly Edit[]): Edit[] {
  const edits = withArticles(passage, proposed).filter(({ start, end, text }) =>
    passage.text.slice(start, end) !== text
  );
  const edited = applyEdits(passage.text, [passage], edits);
  const after = edited.text.slice(passage.start, edited.position(passage.end));
  return after.trim() === "" ? [] : edits;
}

/** The copy of an example, or undefined where no edit changes it. */
function makeCopy(draft: Draft, edits: readonly Edit[], seed: number, taken: Set<string>): Example | undefined {
  const { example, method, segments } = draft;
  const { text, position } = applyEdits(example.text, segments, edits);
  if (text === example.text) return undefined;
  const move = <T extends CharacterSpan>(span: T): T => ({
    ...span,
    start: position(span.start),
    end: position(span.end),
  });
  const ordered = edits.toSorted((a, b) => a.start - b.start || a.end - b.end);
  let shift = 0;
  return {
    ...example,
    postId: freeId(`${example.postId}#${method}`, taken),
    text,
    labels: example.labels.slice(),
    evidence: example.evidence.map((span) => span && move(span)),
    allEvidence: example.allEvidence.map((spans) => spans.map(move)),
    augmentation: {
      sourceId: example.postId,
      originalText: example.text,
      method,
      seed,
      edits: ordered.map(({ start, end, text: inserted }) => {
        const after = { start: start + shift, end: start + shift + inserted.length };
        shift += inserted.length - (end - start);
        return { before: { start, end }, after };
      }),
    },
  };
}

/** `id`, or with a number where a post of that id is there. */
function freeId(id: string, taken: Set<string>): string {
  let free = id;
  for (let n = 2; taken.has(free); n++) free = `${id}#${n}`;
  taken.add(free);
  return free;
}

function hashExamples(examples: readonly Example[]): string {
  const hash = createHash("sha256");
  for (const { postId, text, labels, allEvidence } of examples) {
    const spans = allEvidence.map((evidence) => evidence.map(({ start, end }) => [start, end]));
    hash.update(JSON.stringify([postId, text, [...labels], spans]) + "\n");
  }
  return hash.digest("hex");
}
