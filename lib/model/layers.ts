/** Small pieces that heads, poolings and couplings are made of: parameters by name, and layers that look them up. */
import type { Graph } from "../graph/graph.ts";
import type { ActivationName } from "../graph/ops/activation.ts";
import { linear } from "../graph/ops/linear.ts";
import type { ParameterSpec } from "../graph/parameters.ts";
import type { Tensor } from "../graph/tensor.ts";

/** The tensor of a parameter in a graph, by its name. */
export type ParameterLookup = (name: string) => Tensor;

/** Sizes and rates of a component that stands on hidden states of `width` columns. */
export interface ComponentOptions {
  /** Columns of the encoder's hidden states, C. */
  readonly width: number;
  /** Criteria, K. */
  readonly criteria: number;
  /** Columns of hidden layers, H. */
  readonly hidden: number;
  readonly dropout: number;
  readonly activation: ActivationName;
}

/** Weight [N, K] and bias [N] of a linear layer, normal and zero. */
export function linearParameters(
  name: string,
  outputs: number,
  inputs: number,
  parts?: readonly string[],
): ParameterSpec[] {
  const partsOf = (suffix: string) => parts ? { parts: parts.map((part) => `${part}.${suffix}`) } : {};
  return [
    {
      name: `${name}.weight`,
      shape: [outputs, inputs],
      initialisation: "normal",
      decay: true,
      ...partsOf("weight"),
    },
    { name: `${name}.bias`, shape: [outputs], initialisation: "zeros", decay: false, ...partsOf("bias") },
  ];
}

/** Weight and bias of a LayerNorm, one and zero. */
export function normParameters(name: string, size: number): ParameterSpec[] {
  return [
    { name: `${name}.weight`, shape: [size], initialisation: "ones", decay: false },
    { name: `${name}.bias`, shape: [size], initialisation: "zeros", decay: false },
  ];
}

/** y = x·Wᵀ + b with the parameters `name.weight` and `name.bias`. x [..., K] → [..., N]. */
export function dense(g: Graph, parameter: ParameterLookup, name: string, x: Tensor): Tensor {
  return linear(g, { x, weight: parameter(`${name}.weight`), bias: parameter(`${name}.bias`) });
}
