/**
 * Reverse-mode differentiation of a graph: walks the tape backwards and lets every op append its gradient kernels.
 * Gradients of parameters are added to the gradient arena, which the optimizer leaves at zero; where an activation
 * feeds several ops, later gradients are added into the first.
 */
import type { Graph } from "./graph.ts";
import { copy } from "./ops/elementwise.ts";
import type { Tensor } from "./tensor.ts";

/**
 * Appends the backward pass.
 *
 * @param seeds gradients known from fused losses: of each logits tensor, its derivative
 * @param parameterGradient the place of a parameter's gradient
 * @returns the gradients of the activations that no op made: what else was asked for by `requiresGradient`
 */
export function differentiate(
  g: Graph,
  seeds: ReadonlyMap<Tensor, Tensor>,
  parameterGradient: (parameter: Tensor) => Tensor,
): ReadonlyMap<Tensor, Tensor> {
  const gradients = new Map<Tensor, Tensor>(seeds);
  for (const entry of [...g.tape].reverse()) {
    const dy = gradients.get(entry.output);
    if (!dy) continue;
    gradients.delete(entry.output);
    const makers = entry.backward(dy);
    for (const [name, input] of Object.entries(entry.inputs)) {
      const make = makers[name];
      if (!make || !input.requiresGradient) continue;
      if (input.arena === "parameter") {
        make(parameterGradient(input));
        continue;
      }
      const present = gradients.get(input);
      if (!present) {
        gradients.set(input, make(undefined));
      } else if (
        present === dy || [...gradients].some(([owner, gradient]) => owner !== input && gradient === present)
      ) {
        // Two tensors share one gradient (a residual branch and its sum), and the other is still to be read. Adding to
        // a copy, not to what the op makes: that may be shared as well, by two inputs of the op.
        gradients.set(input, make(copy(g, present)));
      } else {
        make(present);
      }
    }
  }
  return gradients;
}
