/** The sum of word, position and token-type embeddings, for tables larger than one binding. */
import { defineOp, type Graph, linearGrid } from "../graph.ts";
import { elementCount, rowWindows, type Tensor, width } from "../tensor.ts";
import { columnSum } from "./column_sum.ts";
import { KERNELS } from "./kernels.ts";

/** Token ids sorted on the CPU for the segmented sum of a table's gradient; see `embedding_backward.wgsl`. */
export interface Segments {
  /** Token indices sorted by id. [M] */
  readonly order: Tensor;
  /** (id, start) of each run of equal ids, closed by (0xffffffff, end). [M + 1, 2] */
  readonly runs: Tensor;
}

type Inputs = { word: Tensor; position: Tensor; tokenType?: Tensor };

interface Attributes {
  /** [B, T] each. */
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly types: Tensor;
  readonly wordSegments: Segments;
  readonly positionSegments: Segments;
}

function segmentedSum(g: Graph, dx: Tensor, { order, runs }: Segments, dtable: Tensor): Tensor {
  const columns = width(dx) / 4;
  // At most one run per token, and never more than the table has rows.
  const segments = Math.min(elementCount(order.shape), elementCount(dtable.shape) / width(dtable)) + 1;
  for (const { window, firstRow, rows } of rowWindows(dtable, g.target.maxBindingBytes, g.target.alignment)) {
    g.emit({
      kernel: KERNELS.embeddingBackward,
      constants: { COLUMNS: columns },
      bindings: { dx, order, segments: runs, dtable: window },
      dims: { segments, first: firstRow, count: rows },
      grid: linearGrid((segments * columns) / 64),
    });
  }
  return dtable;
}

const embeddingOp = defineOp<Inputs, Attributes, undefined>("embedding", {
  forward(g, { word, position, tokenType }, { ids, positions, types }) {
    const out = g.tensor("embedding", [...ids.shape, width(word)]);
    const columns = width(word) / 4;
    const tokens = elementCount(ids.shape);
    for (const { window, firstRow, rows } of rowWindows(word, g.target.maxBindingBytes, g.target.alignment)) {
      g.emit({
        kernel: KERNELS.embeddingForward,
        constants: { COLUMNS: columns, TYPES: tokenType ? 1 : 0 },
        bindings: {
          ids,
          positions,
          word: window,
          position,
          out,
          ...(tokenType ? { types, token_type: tokenType } : {}),
        },
        dims: { tokens, first: firstRow, count: rows },
        grid: linearGrid((tokens * columns) / 64),
      });
    }
    return { output: out, saved: undefined };
  },
  backward: (g, { tokenType }, dx, _, { types, wordSegments, positionSegments }) => ({
    word: (into) => segmentedSum(g, dx, wordSegments, into!),
    position: (into) => segmentedSum(g, dx, positionSegments, into!),
    tokenType: (into) => {
      for (let type = 0; type < tokenType!.shape[0]!; type++) {
        columnSum(g, dx, into, { selector: types, selected: type });
      }
      return into!;
    },
  }),
});

/**
 * x[b, t] = word[ids[b, t]] + position[positions[b, t]] + tokenType[types[b, t]], as `BertEmbeddings` before its norm.
 * word [V, C], position [P, C], tokenType [Y, C] → x [B, T, C]; C a multiple of 4.
 */
export function embedding(g: Graph, inputs: Inputs, attributes: Attributes): Tensor {
  return embeddingOp(g, inputs, attributes);
}
