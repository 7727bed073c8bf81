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

/** A change of the word embeddings of a batch, one row per distinct token id, beside the table. */
export interface WordPerturbation {
  /** [segmentRows, C], rows in the order of `wordSegments.runs`; see `wordPerturbation`. */
  readonly rows: Tensor;
  /** Factor on the rows [1]; without it they stand for zeros, with respect to which a gradient is wanted. */
  readonly scale?: Tensor;
}

type Inputs = { word: Tensor; position: Tensor; tokenType?: Tensor };

interface Attributes {
  /** [B, T] each. */
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly types: Tensor;
  readonly wordSegments: Segments;
  readonly positionSegments: Segments;
  readonly perturbation?: WordPerturbation;
}

/** At most one run per token, and never more than the table has rows; and the closing entry. */
function segmentRows(order: Tensor, table: Tensor): number {
  return Math.min(elementCount(order.shape), elementCount(table.shape) / width(table)) + 1;
}

/** A perturbation of zero that wants a gradient: that of the words of the batch, by distinct token id. [S, C] */
export function wordPerturbation(g: Graph, word: Tensor, { order }: Segments): Tensor {
  const rows = g.tensor("word perturbation", [segmentRows(order, word), width(word)]);
  rows.requiresGradient = true;
  return rows;
}

function segmentedSum(g: Graph, dx: Tensor, { order, runs }: Segments, dtable: Tensor): Tensor {
  const columns = width(dx) / 4;
  const segments = segmentRows(order, dtable);
  for (const { window, firstRow, rows } of rowWindows(dtable, g.target.maxBindingBytes, g.target.alignment)) {
    g.emit({
      kernel: KERNELS.embeddingBackward,
      constants: { COLUMNS: columns, ROWS: 0 },
      bindings: { dx, order, segments: runs, dtable: window },
      dims: { segments, first: firstRow, count: rows },
      grid: linearGrid((segments * columns) / 64),
    });
  }
  return dtable;
}

/** The same sums by run: the gradient of a perturbation's rows. */
function segmentedRows(g: Graph, dx: Tensor, { order, runs }: Segments, perturbation: Tensor): Tensor {
  const rows = g.tensor("d word perturbation", perturbation.shape);
  const [segments, columns] = [perturbation.shape[0]!, width(dx) / 4];
  g.emit({
    kernel: KERNELS.embeddingBackward,
    constants: { COLUMNS: columns, ROWS: 1 },
    bindings: { dx, order, segments: runs, rows },
    dims: { segments },
    grid: linearGrid((segments * columns) / 64),
  });
  return rows;
}

const embeddingOp = defineOp<Inputs & { rows?: Tensor }, Attributes, undefined>("embedding", {
  forward(g, { word, position, tokenType, rows }, { ids, positions, types, wordSegments, perturbation }) {
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
    if (rows && perturbation?.scale) {
      const segments = rows.shape[0]!;
      g.emit({
        kernel: KERNELS.embeddingPerturb,
        constants: { COLUMNS: columns },
        bindings: { rows, order: wordSegments.order, segments: wordSegments.runs, scale: perturbation.scale, out },
        dims: { segments },
        grid: linearGrid((segments * columns) / 64),
      });
    }
    return { output: out, saved: undefined };
  },
  backward: (g, { tokenType, rows }, dx, _, { types, wordSegments, positionSegments }) => ({
    word: (into) => segmentedSum(g, dx, wordSegments, into!),
    position: (into) => segmentedSum(g, dx, positionSegments, into!),
    rows: () => segmentedRows(g, dx, wordSegments, rows!),
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
 * word [V, C], position [P, C], tokenType [Y, C] → x [B, T, C]; C a multiple of 4. With a perturbation, the rows of the
 * batch's words are moved by it; padding, which is in no run, is not.
 */
export function embedding(g: Graph, inputs: Inputs, attributes: Attributes): Tensor {
  const { perturbation } = attributes;
  return embeddingOp(g, { ...inputs, ...(perturbation ? { rows: perturbation.rows } : {}) }, attributes);
}
