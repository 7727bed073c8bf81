/**
 * Metrics of the evidence agent, from the predicted and the gold character spans of each (post, criterion): any number,
 * or none. Several spans count as their words and characters together, but for the partial measures, which count spans.
 *
 * The overlap measures follow SQuAD v1 (Rajpurkar et al., 2016), but compare the text as it is: no lower-casing, and no
 * removal of punctuation and articles, since evidence is a passage and not an answer. `squad` has SQuAD v2's own, with its
 * normalisation, and with pairs without evidence in the means; spans are joined by a space there.
 *
 * The partial measures give a span credit for the share of it that is right: precision is the mean over given spans of
 * the share that is gold, recall the mean over gold spans of the share that is given (the soft measures of Johansson and
 * Moschitti, "Syntactic and semantic structure for opinion expression detection", 2010). Spans given where there is no
 * evidence lower precision. A mean over nothing is null.
 */
import type { CharacterSpan, Example } from "../data/dataset.ts";
import { meanOfDefined, ratio } from "./metrics_criteria.ts";
import { bagF1, squadScore } from "./metrics_squad.ts";
import { harmonicMean, joined, overlapOf, sharesOf, sizeOf } from "./spans_overlap.ts";

/** One decision of the evidence agent; no span is "no evidence". */
export interface EvidencePair {
  text: string;
  /** Index of the criterion. */
  criterion: number;
  /** Index of the post. */
  post: number;
  predicted: readonly CharacterSpan[];
  gold: readonly CharacterSpan[];
}

/** Credit for parts of spans; null where undefined. */
export interface PartialMetrics {
  /** Mean share of a given span that is gold. */
  partial_precision: number | null;
  /** Mean share of a gold span that is given. */
  partial_recall: number | null;
  /** Their harmonic mean; null without given and gold spans. */
  partial_f1: number | null;
}

/** Evidence metrics of one criterion; null where undefined. */
export interface CriterionEvidence extends PartialMetrics {
  support: number;
  null_support: number;
  token_f1: number | null;
  null_accuracy: number | null;
}

/** Those of a criterion without any pair. */
export const NO_EVIDENCE: CriterionEvidence = {
  ...{ support: 0, null_support: 0, token_f1: null, null_accuracy: null },
  ...{ partial_precision: null, partial_recall: null, partial_f1: null },
};

/** Evidence metrics; the field names are those of the reports. A mean over no pairs is null. */
export interface EvidenceMetrics extends PartialMetrics {
  /** Share of the pairs with gold evidence whose predicted words are the gold words. */
  exact_match: number | null;
  /** Mean F1 of the bags of words (split at white space), over pairs with gold evidence; predicting none scores 0. */
  token_f1: number | null;
  /** Mean F1 of the character ranges, over pairs with gold evidence; predicting none scores 0. */
  char_f1: number | null;
  /** Mean intersection over union of the character ranges, over pairs with gold evidence; predicting none scores 0. */
  char_iou: number | null;
  /** Share of the pairs without gold evidence that are predicted none. */
  null_accuracy: number | null;
  /** Mean of the criteria's `partial_f1`, over those with gold evidence. */
  macro_partial_f1: number | null;
  /** Pairs with gold evidence. */
  support: number;
  /** Pairs without. */
  null_support: number;
  /** As SQuAD v2's evaluation, but as shares. */
  squad: {
    exact: number | null;
    f1: number | null;
    has_answer_exact: number | null;
    has_answer_f1: number | null;
    no_answer_accuracy: number | null;
  };
  /** In the order of the criteria. */
  per_criterion: CriterionEvidence[];
}

/** What one pair adds to the metrics: sums over pairs and ratios of sums make all of them. */
export interface EvidenceScore {
  /** 1 with gold evidence. */
  support: number;
  /** 1 without. */
  null_support: number;
  exact_match: number;
  token_f1: number;
  char_f1: number;
  char_iou: number;
  /** 1 where there is none and none is given. */
  null_accuracy: number;
  squad_exact: number;
  squad_f1: number;
  /** Spans that are given, and the sum of their shares that are gold. */
  given: number;
  given_share: number;
  /** Gold spans, and the sum of their shares that are given. */
  gold: number;
  gold_share: number;
}

const NOTHING: EvidenceScore = {
  ...{ support: 0, null_support: 0, exact_match: 0, token_f1: 0, char_f1: 0, char_iou: 0, null_accuracy: 0 },
  ...{ squad_exact: 0, squad_f1: 0, given: 0, given_share: 0, gold: 0, gold_share: 0 },
};

/** Scores one pair. */
export function evidenceScore({ text, predicted, gold }: Pick<EvidencePair, "text" | "predicted" | "gold">) {
  const said = joined(predicted), wanted = joined(gold);
  const counts = { ...NOTHING, given: said.length, gold: wanted.length };
  if (said.length === 0 || wanted.length === 0) {
    // One of the two is none: SQuAD looks whether something remains of the other.
    const { exact, f1 } = squadScore(joinedText(text, said), joinedText(text, wanted));
    const isNull = wanted.length === 0;
    return {
      ...counts,
      support: isNull ? 0 : 1,
      null_support: isNull ? 1 : 0,
      null_accuracy: isNull && said.length === 0 ? 1 : 0,
      squad_exact: exact,
      squad_f1: f1,
    };
  }
  const saidWords = words(text, said), wantedWords = words(text, wanted);
  const overlap = overlapOf(said, wanted), size = sizeOf(said) + sizeOf(wanted);
  const { exact, f1 } = squadScore(joinedText(text, said), joinedText(text, wanted));
  return {
    ...counts,
    support: 1,
    exact_match: saidWords.join(" ") === wantedWords.join(" ") ? 1 : 0,
    token_f1: bagF1(saidWords, wantedWords),
    char_f1: overlap === 0 ? 0 : 2 * overlap / size,
    char_iou: overlap === 0 ? 0 : overlap / (size - overlap),
    squad_exact: exact,
    squad_f1: f1,
    given_share: sharesOf(said, wanted),
    gold_share: sharesOf(wanted, said),
  };
}

/** The sum of scores. */
function total(scores: readonly EvidenceScore[]): EvidenceScore {
  const sum = { ...NOTHING };
  for (const score of scores) {
    for (const key of Object.keys(sum) as (keyof EvidenceScore)[]) sum[key] += score[key];
  }
  return sum;
}

/** The partial measures of sums; F1 is 0 where spans are given and none is gold, or the other way round. */
export function partialMetrics(
  { given, given_share, gold, gold_share }: Pick<EvidenceScore, "given" | "given_share" | "gold" | "gold_share">,
): PartialMetrics {
  const partial_precision = ratio(given_share, given), partial_recall = ratio(gold_share, gold);
  const partial_f1 = given + gold === 0 ? null : harmonicMean(partial_precision ?? 0, partial_recall ?? 0);
  return { partial_precision, partial_recall, partial_f1 };
}

/** Mean partial F1 of the criteria with gold evidence, from their sums; null where none has any. */
export const macroPartialF1 = (sums: readonly Parameters<typeof partialMetrics>[0][]): number | null =>
  meanOfDefined(sums.map((sum) => sum.gold === 0 ? null : partialMetrics(sum).partial_f1));

/** Computes all evidence metrics. `scores` are of the pairs, where they are known. */
export function evidenceMetrics(
  pairs: readonly EvidencePair[],
  scores: readonly EvidenceScore[] = pairs.map(evidenceScore),
): EvidenceMetrics {
  const byCriterion: EvidenceScore[][] = [];
  pairs.forEach(({ criterion }, i) => (byCriterion[criterion] ??= []).push(scores[i]!));
  const sums = Array.from(byCriterion, (some) => total(some ?? []));
  const all = total(scores), { support, null_support } = all;
  const withAnswer = total(scores.filter((score) => score.support === 1));
  return {
    support,
    null_support,
    exact_match: ratio(all.exact_match, support),
    token_f1: ratio(all.token_f1, support),
    char_f1: ratio(all.char_f1, support),
    char_iou: ratio(all.char_iou, support),
    null_accuracy: ratio(all.null_accuracy, null_support),
    ...partialMetrics(all),
    macro_partial_f1: macroPartialF1(sums),
    squad: {
      exact: ratio(all.squad_exact, pairs.length),
      f1: ratio(all.squad_f1, pairs.length),
      has_answer_exact: ratio(withAnswer.squad_exact, support),
      has_answer_f1: ratio(withAnswer.squad_f1, support),
      no_answer_accuracy: ratio(all.squad_exact - withAnswer.squad_exact, null_support),
    },
    per_criterion: sums.map((sum) => ({
      support: sum.support,
      null_support: sum.null_support,
      token_f1: ratio(sum.token_f1, sum.support),
      null_accuracy: ratio(sum.null_accuracy, sum.null_support),
      ...partialMetrics(sum),
    })),
  };
}

/**
 * Pairs of all (post, criterion), row by row. Left out are positive labels whose evidence was not found in the post:
 * what should have been predicted there is unknown.
 *
 * @param predicted [N, K] row by row
 */
export function evidencePairs<S extends CharacterSpan>(
  examples: readonly Example[],
  predicted: readonly (readonly S[])[],
): (EvidencePair & { predicted: readonly S[] })[] {
  return examples.flatMap(({ text, labels, allEvidence }, post) =>
    allEvidence.flatMap((gold, criterion) =>
      gold.length === 0 && labels[criterion] === 1
        ? []
        : [{ text, post, criterion, gold, predicted: predicted[post * labels.length + criterion] ?? [] }]
    )
  );
}

/** The evidence baseline: the whole post is given as evidence for every criterion. */
export function wholeTextBaseline(examples: readonly Example[]): EvidenceMetrics {
  const whole = examples.flatMap(({ text, labels }) => Array.from(labels, () => [{ start: 0, end: text.length }]));
  return evidenceMetrics(evidencePairs(examples, whole));
}

const joinedText = (text: string, spans: readonly CharacterSpan[]): string =>
  spans.map(({ start, end }) => text.slice(start, end)).join(" ");

function words(text: string, spans: readonly CharacterSpan[]): string[] {
  return spans.flatMap(({ start, end }) => text.slice(start, end).split(/\s+/u).filter((word) => word !== ""));
}
