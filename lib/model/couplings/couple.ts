/** Couples the two agents by one of the methods of the registry; the scheme is described in coupling.ts. */
import type { Graph } from "../../graph/graph.ts";
import { activation, type ActivationName } from "../../graph/ops/activation.ts";
import { add } from "../../graph/ops/combine.ts";
import { broadcastTokens } from "../../graph/ops/tokens.ts";
import type { ParameterSpec } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { dense, linearParameters, type ParameterLookup } from "../layers.ts";
import { POOLINGS } from "../poolings/registry.ts";
import type { CouplingDefinition, TokenCouplingDefinition } from "./coupling.ts";
import { type CouplingName, COUPLINGS } from "./registry.ts";

const { mean, max, attention } = POOLINGS;

/** How the evidence stream is pooled: the poolings that look at its tokens alone. */
export const COUPLING_POOLINGS = { mean, max, attention };

/** The name of such a pooling. */
export type CouplingPooling = keyof typeof COUPLING_POOLINGS;

/** How the agents are coupled. */
export interface CouplingOptions {
  readonly method: CouplingName;
  readonly pooling: CouplingPooling;
  /** Whether the evidence stream is pooled before it is combined with the pooled text. */
  readonly poolBeforeCombination: boolean;
}

const methodOf = ({ method }: CouplingOptions): CouplingDefinition | TokenCouplingDefinition => COUPLINGS[method];

/** The parameters of a coupling, under "coupling". */
export function couplingParameters(options: CouplingOptions, width: number): ParameterSpec[] {
  const method = methodOf(options);
  return [
    ...linearParameters("coupling.evidence", width, width),
    ...method.parameters("coupling", width),
    ...("attend" in method ? [] : POOLINGS[options.pooling].parameters("coupling.pooling", width)),
  ];
}

/**
 * What the two heads read when they are coupled.
 *
 * @param c the pooled text [B, C]
 * @param tokens [B, T, C]
 * @param mask [B, T]
 */
export function couple(
  g: Graph,
  { c, tokens, mask }: { c: Tensor; tokens: Tensor; mask: Tensor },
  parameter: ParameterLookup,
  options: CouplingOptions & { readonly activation: ActivationName },
): { criteria: Tensor; evidence: Tensor } {
  const method = methodOf(options);
  const length = tokens.shape[1]!;
  const stream = activation(g, dense(g, parameter, "coupling.evidence", tokens), options.activation);
  const pooled = (x: Tensor) => POOLINGS[options.pooling].forward(g, [x], mask, parameter, "coupling.pooling");
  if ("attend" in method || options.poolBeforeCombination) {
    const z = "attend" in method
      ? method.attend(g, c, stream, mask, parameter, "coupling")
      : method.combine(g, c, pooled(stream), parameter, "coupling");
    return { criteria: z, evidence: add(g, stream, broadcastTokens(g, z, length)) };
  }
  const joint = method.combine(g, broadcastTokens(g, c, length), stream, parameter, "coupling");
  return { criteria: pooled(joint), evidence: joint };
}
