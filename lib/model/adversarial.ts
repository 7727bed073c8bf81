/**
 * Adversarial training by the fast gradient method on the word embeddings (Miyato, Dai & Goodfellow 2017, "Adversarial
 * Training Methods for Semi-Supervised Text Classification", arXiv:1605.07725): r = ε·g / ‖g‖₂ with g the gradient of the
 * loss with respect to the word embeddings, and the loss at the words moved by r is trained on as well.
 *
 * As in PyTorch's usual recipe (backward, attack, backward, restore), both gradients are added, the norm is that of the
 * whole table, and the second pass draws dropout masks of its own. Three things differ: the table is never written to,
 * since the perturbation has one row per distinct id of the batch and is added behind the look-up; g is the gradient of
 * the micro-batch alone where several are accumulated, not the sum so far, so that the attack does not depend on their
 * order; and words that are frozen are attacked as well, which costs no more than the gradient of their activations.
 */
import { type Graph, rowKernel } from "../graph/graph.ts";
import { KERNELS } from "../graph/ops/kernels.ts";
import { type Segments, type WordPerturbation, wordPerturbation } from "../graph/ops/embedding.ts";
import { elementCount, type Tensor } from "../graph/tensor.ts";

/** vec4 elements whose squares one row of lanes sums. */
const CHUNK = 2048;

/** ε / ‖rows‖₂, or 0 where that is not a number. rows [S, C] → [1] */
function fastGradientScale(g: Graph, rows: Tensor, epsilon: number): Tensor {
  const count = elementCount(rows.shape) / 4;
  const chunks = Math.ceil(count / CHUNK);
  const partial = g.tensor("word gradient partial", [chunks]);
  const scale = g.tensor("fast gradient scale", [1]);
  const { constants, grid } = rowKernel(g.target, chunks);
  g.emit({
    kernel: KERNELS.sumSquares,
    constants: { ...constants, CHUNK },
    bindings: { g: rows, partial },
    dims: { count, first: 0 },
    grid,
  });
  g.emit({
    kernel: KERNELS.fastGradientScale,
    constants: {},
    bindings: { partial, scale },
    dims: { count: chunks, epsilon },
    grid: [1, 1, 1],
  });
  return scale;
}

/**
 * Appends one pass, or with an ε above 0 a clean one and an attacked one.
 *
 * @param word the table of word embeddings [V, C]
 * @param pass appends forward and backward with a perturbation of the words, and returns the gradients of what is no
 * parameter, as `differentiate` does; what it records besides the gradient (losses, running means) it should record when
 * it is not `attacked` only
 */
export function adversarialPasses(
  g: Graph,
  { word, wordSegments, epsilon }: { word: Tensor; wordSegments: Segments; epsilon: number },
  pass: (perturbation: { perturbation?: WordPerturbation }, attacked: boolean) => ReadonlyMap<Tensor, Tensor>,
): void {
  if (epsilon === 0) {
    pass({}, false);
    return;
  }
  const zero = wordPerturbation(g, word, wordSegments);
  const rows = pass({ perturbation: { rows: zero } }, false).get(zero);
  // Nothing depends on the words: there is nothing to attack.
  if (!rows) return;
  pass({ perturbation: { rows, scale: fastGradientScale(g, rows, epsilon) } }, true);
}
