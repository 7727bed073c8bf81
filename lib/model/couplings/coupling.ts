/**
 * What a coupling is: how criteria agent and evidence agent see each other before their heads.
 *
 * Uncoupled, the criteria head reads the pooled text c [B, C] and the evidence head the tokens [B, T, C]. Coupled, the
 * evidence agent has a stream of its own, E = act(W·tokens), and
 *
 * - pooled before combination: z = combine(c, pool(E)); the criteria head reads z, the evidence head E + z at every token
 * - else: J = combine(c at every token, E); the criteria head reads pool(J), the evidence head J
 */
import type { Graph } from "../../graph/graph.ts";
import type { ParameterSpec } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ParameterLookup } from "../layers.ts";

/** One entry of the registry of coupling methods. */
export interface CouplingDefinition {
  /** One line for people. */
  readonly summary: string;
  /** Parameters under `name`, for tensors of `width` columns. */
  parameters(name: string, width: number): ParameterSpec[];
  /** Combines a and b of one shape [..., C] → [..., C]. */
  combine(g: Graph, a: Tensor, b: Tensor, parameter: ParameterLookup, name: string): Tensor;
}

/** A coupling that looks at the tokens itself: z from the pooled text [B, C] and the evidence stream [B, T, C]. */
export interface TokenCouplingDefinition extends Omit<CouplingDefinition, "combine"> {
  attend(g: Graph, c: Tensor, tokens: Tensor, mask: Tensor, parameter: ParameterLookup, name: string): Tensor;
}
