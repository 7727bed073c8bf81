/** What a criteria head is: one logit per criterion from one vector of a text. */
import type { Graph } from "../../graph/graph.ts";
import type { ParameterSpec } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ComponentOptions, ParameterLookup } from "../layers.ts";

/** One entry of the registry of criteria heads. */
export interface CriteriaHeadDefinition {
  /** One line for people. */
  readonly summary: string;
  /** Parameters under `name`. */
  parameters(name: string, options: ComponentOptions): ParameterSpec[];
  /** x [B, C] → logits [B, K] */
  forward(g: Graph, x: Tensor, parameter: ParameterLookup, name: string, options: ComponentOptions): Tensor;
}
