/** Every evidence head by the name that configurations have for it. A new one is one file and one line here. */
import { biaffine } from "./biaffine.ts";
import { bioCrf } from "./bio_crf.ts";
import type { EvidenceHeadDefinition } from "./evidence_head.ts";
import { sentenceReranker } from "./sentence_reranker.ts";
import { startEndLinear } from "./start_end_linear.ts";
import { startEndMlp } from "./start_end_mlp.ts";

/** The evidence heads. */
export const EVIDENCE_HEADS = {
  start_end_linear: startEndLinear,
  start_end_mlp: startEndMlp,
  biaffine,
  bio_crf: bioCrf,
  sentence_reranker: sentenceReranker,
} satisfies Record<string, EvidenceHeadDefinition>;

/** The name of an evidence head. */
export type EvidenceHeadName = keyof typeof EVIDENCE_HEADS;
