/** The simplest agents, and gold spans as batches have them. */
import type { DualAgentConfig } from "../../lib/model/dual_agent.ts";
import { BCE } from "../../lib/graph/ops/losses.ts";

/** Linear heads on an encoder, uncoupled, trained by plain cross-entropy. */
export function linearAgents(
  { encoder, criteria, pooling = "cls", dropout = 0 }: Pick<DualAgentConfig, "encoder" | "criteria"> & {
    pooling?: DualAgentConfig["pooling"];
    dropout?: number;
  },
): DualAgentConfig {
  return {
    encoder,
    criteria,
    activation: "gelu",
    pooling,
    criteriaHead: { type: "linear", hidden: 16, dropout },
    evidenceHead: { type: "start_end_linear", hidden: 16, dropout, maxSpanTokens: 8, maxSpans: 3 },
    coupling: null,
    loss: { form: BCE, weighted: false, adaptive: false },
  };
}

/** Tags [B, T, K] of one span per (text, criterion) from `start` to `end` [B, K], both inclusive; 0 is none. */
export function spanTags(
  { size, length }: { size: number; length: number },
  start: ArrayLike<number>,
  end: ArrayLike<number>,
): Uint8Array {
  const criteria = start.length / size;
  const tags = new Uint8Array(size * length * criteria);
  for (let pair = 0; pair < start.length; pair++) {
    const row = Math.floor(pair / criteria), k = pair % criteria;
    for (let token = start[pair]!; start[pair]! > 0 && token <= end[pair]!; token++) {
      tags[(row * length + token) * criteria + k] = token === start[pair] ? 1 : 2;
    }
  }
  return tags;
}

/** The first span of each (text, criterion) in tags, as `spanTags` takes it. */
export function firstSpans(
  { size, length, tags }: { size: number; length: number; tags: Uint8Array },
): { start: Uint32Array; end: Uint32Array } {
  const criteria = tags.length / (size * length);
  const start = new Uint32Array(size * criteria), end = new Uint32Array(size * criteria);
  for (let pair = 0; pair < start.length; pair++) {
    const row = Math.floor(pair / criteria), k = pair % criteria;
    const tag = (token: number) => token < length ? tags[(row * length + token) * criteria + k]! : 0;
    for (let token = 1; token < length; token++) {
      if (tag(token) !== 1) continue;
      start[pair] = end[pair] = token;
      while (tag(end[pair]! + 1) === 2) end[pair]!++;
      break;
    }
  }
  return { start, end };
}

/** What a batch without evidence has: tags, places where posts begin, sentences. */
export function noSpans(size: number, length: number, criteria: number) {
  return {
    tags: new Uint8Array(size * length * criteria),
    begins: new Uint32Array(size).fill(1),
    sentences: new Uint32Array(size * length).fill(0xffffffff),
    spanWeight: new Float32Array(size * criteria),
  };
}
