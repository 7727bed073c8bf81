/** Which product a dispatch of a GEMM kernel computes, read back from its constants and `Dims`; see `gemm.ts`. */
import type { GemmEpilogue, GemmLayout, GemmStep } from "./gemm.ts";

/** A matrix product C [m, n] = A · B over k, and what is fused behind it. */
export interface GemmProduct {
  readonly layout: GemmLayout;
  readonly epilogue: GemmEpilogue;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

function epilogueOf(constants: GemmStep["constants"]): GemmEpilogue {
  const activation = constants["RELU"] ? "relu" : constants["GELU_TANH"] ? "gelu_tanh" : "gelu_erf";
  if (constants["ACTIVATE"]) return `bias_${activation}`;
  if (constants["DERIVATIVE"]) return `d${activation}`;
  return constants["BIAS"] ? "bias" : constants["ACCUMULATE"] ? "accumulate" : "none";
}

/**
 * The product of a dispatch; undefined where its kernel computes none. Of a product in slices (split-K) the dispatch that
 * adds them up computes none.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { gemmDispatch } from "./gemm.ts";
 * const request = { layout: "tn", m: 64, n: 32, k: 13, epilogue: "accumulate" } as const;
 * const dispatch = gemmDispatch({ ...request, preset: "tiled", subgroupSize: 0 });
 * assert.deepEqual(gemmProduct(dispatch), request);
 * ```
 */
export function gemmProduct(
  { kernel, constants, dims }: Pick<GemmStep, "kernel" | "constants" | "dims">,
): GemmProduct | undefined {
  if (!kernel.name.startsWith("gemm_")) return undefined;
  const epilogue = epilogueOf(constants), n = dims["n"]!, rows = dims["rows"]!;
  if (constants["A_TRANSPOSED"]) return { layout: "tn", m: dims["m"]!, n, k: rows, epilogue };
  return { layout: constants["B_TRANSPOSED"] ? "nt" : "nn", m: rows, n, k: dims["k"]!, epilogue };
}
