/** Suggests tokens by a checkpoint's masked-language-model head. */
import { type Batch, lengthBuckets } from "../data/batches.ts";
import { align } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { checkEncoder } from "../model/encoder.ts";
import { batchTensors, checkIds, inputBytes, packBatch } from "../model/inputs.ts";
import { HEAD_PREFIX, maskedLMGraph, maskedLMParameters, type VocabularyScores } from "../model/masked_lm.ts";
import { usablePositions } from "../weights/encoder_config.ts";
import { type InferenceProgram, oneAtATime, openInference } from "./inference.ts";
import { checkQueries, topCandidates } from "./token_candidates.ts";
import type { TokenCandidate, TokenQuery, TokenSuggester, TokenSuggesterOptions } from "./token_suggestions.ts";

type Read = (name: string, shape: readonly number[]) => Float32Array<ArrayBuffer>;

/** Texts of one forward pass, where there are several. */
const ROWS = 8;

/** Equal arrays: PyTorch's files hold a tied decoder beside the table that it is. */
function equal(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** The query with the mask in its place, cut to `limit` tokens around it where it has more. */
function maskedText(
  { ids, position }: TokenQuery,
  limit: number,
  { maskId, clsId, sepId }: TokenSuggesterOptions,
): TokenQuery {
  const masked = ids.slice();
  masked[position] = maskId;
  if (ids.length <= limit) return { ids: masked, position };
  const inner = limit - 2;
  const start = Math.max(1, Math.min(position - Math.floor(inner / 2), ids.length - 1 - inner));
  const cut = Uint32Array.of(clsId, ...masked.subarray(start, start + inner), sepId);
  cut[position - start + 1] = maskId;
  return { ids: cut, position: position - start + 1 };
}

/** Texts side by side, with nothing to be learned from them; one alone, or up to `ROWS` filled up with padding. */
function batchOf(texts: readonly TokenQuery[], length: number, padId: number): Batch {
  const size = texts.length === 1 ? 1 : ROWS;
  const batch: Batch = {
    size,
    length,
    ids: new Uint32Array(size * length).fill(padId),
    mask: new Uint32Array(size * length),
    types: new Uint32Array(size * length),
    labels: new Float32Array(size),
    sampleWeight: new Float32Array(size),
    tags: new Uint8Array(size * length),
    begins: new Uint32Array(size),
    sentences: new Uint32Array(size * length),
    spanWeight: new Float32Array(size),
    inputs: Array.from({ length: size }, (_, row) => row < texts.length ? row : -1),
  };
  texts.forEach(({ ids }, row) => {
    batch.ids.set(ids, row * length);
    batch.mask.fill(1, row * length, row * length + ids.length);
  });
  return batch;
}

/**
 * Opens encoder and head.
 *
 * @param weights `encoder` reads a tensor by its checkpoint name, `head` one by the name that `resolveMaskedLMNames` has
 * for it; `decodes` says whether the head has a decoder of its own
 * @throws an input error when there is no kernel for the architecture, or the GPU refuses the memory
 */
export async function openMaskedLM(
  gpu: Gpu,
  options: TokenSuggesterOptions,
  weights: { encoder: Read; head: Read; decodes: boolean },
): Promise<TokenSuggester> {
  const { encoder, folder, padId } = options;
  checkEncoder(encoder, folder);
  const shape = [encoder.vocab_size, encoder.hidden_size];
  const tied = !weights.decodes ||
    equal(weights.head("decoder.weight", shape), weights.encoder("embeddings.word_embeddings.weight", shape));
  const inference = await openInference(
    gpu,
    maskedLMParameters(encoder, { tied }),
    (name, shape) =>
      name.startsWith(HEAD_PREFIX) ? weights.head(name.slice(HEAD_PREFIX.length), shape) : weights.encoder(name, shape),
  );
  const limit = usablePositions(encoder);
  const buckets = lengthBuckets(limit);
  const programs = new Map<string, { program: InferenceProgram; logits: VocabularyScores[] }>();

  const programOf = ({ size, length }: Batch) => {
    const key = `masked LM ${size} x ${length}`;
    const present = programs.get(key);
    if (present) return present;
    const shape = { size, length, criteria: 1 };
    const place = { offset: inputBytes(shape), size: 4 * size * length };
    const { graph, logits } = maskedLMGraph(inference.target, encoder, inference.parameters, (g) => ({
      inputs: batchTensors(g, shape),
      selected: g.fixed("selected", [size, length], "input", { chunk: 0, ...place }),
    }));
    const wanted = logits.map(({ scores }) => scores);
    const made = { program: inference.program(key, graph, place.offset + align(place.size), wanted), logits };
    programs.set(key, made);
    return made;
  };
  const suggest = oneAtATime(async (rows: readonly TokenQuery[], count: number) => {
    checkQueries(rows, count, encoder.vocab_size);
    const texts = rows.map((row) => maskedText(row, limit, options));
    const results: TokenCandidate[][] = rows.map(() => []);
    // Texts of like length stand together, so that little is padding.
    const order = [...texts.keys()].sort((a, b) => texts[a]!.ids.length - texts[b]!.ids.length || a - b);
    for (let first = 0; first < order.length; first += ROWS) {
      const group = order.slice(first, first + ROWS);
      const longest = texts[group.at(-1)!]!.ids.length;
      const batch = batchOf(group.map((i) => texts[i]!), buckets.find((length) => length >= longest)!, padId);
      checkIds(batch, encoder);
      const selected = new Uint32Array(batch.size * batch.length);
      group.forEach((i, row) => selected[row * batch.length + texts[i]!.position] = 1);
      const { program, logits } = programOf(batch);
      const packed = packBatch(batch, encoder);
      const values = await program.run((input) => {
        gpu.device.queue.writeBuffer(input, 0, packed);
        gpu.device.queue.writeBuffer(input, packed.length, selected);
      });
      group.forEach((i, row) => results[i] = topCandidates(logits, values, row, count));
    }
    return results;
  });
  return { source: "masked_lm", suggest, close: inference.close };
}
