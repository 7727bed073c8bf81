/** Suggests the neighbours of a token by the cosine of word embeddings. */
import { align } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { wordProductsGraph, wordTable } from "../model/masked_lm.ts";
import type { EncoderConfig } from "../weights/encoder_config.ts";
import { oneAtATime, openInference } from "./inference.ts";
import { checkQueries, topCandidates } from "./token_candidates.ts";
import type { TokenCandidate, TokenQuery, TokenSuggester } from "./token_suggestions.ts";

/** Tokens whose neighbours are looked up together. */
const ROWS = 32;

/** Scales every row of `table` [V, width] to length 1, in place; rows of zeros stay so. */
function normaliseRows(table: Float32Array<ArrayBuffer>, width: number): Float32Array<ArrayBuffer> {
  for (let start = 0; start < table.length; start += width) {
    const row = table.subarray(start, start + width);
    const length = Math.sqrt(row.reduce((sum, value) => sum + value * value, 0));
    if (length > 0) row.forEach((value, i) => row[i] = value / length);
  }
  return table;
}

/**
 * Opens the table of word embeddings.
 *
 * @param read a tensor by its checkpoint name
 * @throws an input error when the GPU refuses the memory
 */
export async function openEmbeddingNeighbours(
  gpu: Gpu,
  encoder: EncoderConfig,
  read: (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>,
): Promise<TokenSuggester> {
  const width = encoder.hidden_size, rowBytes = 4 * width;
  const spec = wordTable(encoder);
  const inference = await openInference(gpu, [spec], (name, shape) => normaliseRows(read(name, shape), width));
  const { parameters, arena, target } = inference;
  const { graph, products } = wordProductsGraph(
    target,
    encoder,
    parameters,
    (g) => g.fixed("tokens", [ROWS, width], "input", { chunk: 0, offset: 0, size: ROWS * rowBytes }),
  );
  const wanted = products.map(({ scores }) => scores);
  const program = inference.program("neighbours", graph, align(ROWS * rowBytes), wanted);
  const table = arena.slice(parameters.slot(spec.name));

  const suggest = oneAtATime(async (rows: readonly TokenQuery[], count: number) => {
    checkQueries(rows, count, encoder.vocab_size);
    const tokens = rows.map(({ ids, position }) => ids[position]!);
    const results: TokenCandidate[][] = [];
    for (let first = 0; first < tokens.length; first += ROWS) {
      const group = tokens.slice(first, first + ROWS);
      const values = await program.run((input) => {
        const copies = gpu.device.createCommandEncoder({ label: "rows of tokens" });
        group.forEach((id, row) =>
          copies.copyBufferToBuffer(table.buffer, table.offset + id * rowBytes, input, row * rowBytes, rowBytes)
        );
        gpu.device.queue.submit([copies.finish()]);
      });
      results.push(...group.map((id, row) => topCandidates(products, values, row, count, id)));
    }
    return results;
  });
  return { source: "embedding", suggest, close: inference.close };
}
