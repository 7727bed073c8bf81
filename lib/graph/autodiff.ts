/**
 * Reverse-mode differentiation of a graph: walks the tape backwards and lets every op append its gradient kernels.
 * Gradients of parameters are added to the gradient arena, which the optimizer leaves at zero; where an activation
 * feeds several ops, later gradients are added into the first. Ops that were not kept are computed again where the walk
 * meets them (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"), and walked like any others.
 */
import type { Graph, OpEntry, TapeEntry } from "./graph.ts";
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
  const differentiateOp = (entry: OpEntry, dy: Tensor) => {
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
  };
  const walk = (tape: readonly TapeEntry[]) => {
    for (const entry of tape.toReversed()) {
      const dy = gradients.get(entry.output);
      if (!dy) continue;
      gradients.delete(entry.output);
      if ("again" in entry) {
        const { tape, output } = entry.again();
        gradients.set(output, dy);
        walk(tape);
      } else {
        differentiateOp(entry, dy);
      }
    }
  };
  const forwardCalls = g.calls.length;
  walk([...g.tape]);
  for (const call of g.calls.slice(forwardCalls)) g.backwardCalls.add(call);
  return gradients;
}
