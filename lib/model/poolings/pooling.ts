/** What a pooling is: one vector of a text from the hidden states of its tokens. */
import type { Graph } from "../../graph/graph.ts";
import type { ParameterSpec } from "../../graph/parameters.ts";
import type { Tensor } from "../../graph/tensor.ts";
import type { ParameterLookup } from "../layers.ts";

/** One entry of the registry of poolings. */
export interface PoolingDefinition {
  /** One line for people. */
  readonly summary: string;
  /** Parameters under `name`, for hidden states of `width` columns. */
  parameters(name: string, width: number): ParameterSpec[];
  /**
   * @param states hidden states [B, T, C] after the embeddings and each layer, at least one; the last is the output
   * @param mask [B, T], 1 at real tokens
   * @returns [B, C]
   */
  forward(g: Graph, states: readonly Tensor[], mask: Tensor, parameter: ParameterLookup, name: string): Tensor;
}
