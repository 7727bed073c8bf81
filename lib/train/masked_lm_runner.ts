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

/** Texts of one forward pass. */
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

/** Texts side by side, with nothing to be learned from them; rows that are left over are padding. */
function batchOf(texts: readonly TokenQuery[], length: number, padId: number): Batch {
  const batch: Batch = {
    size: ROWS,
    length,
    ids: new Uint32Array(ROWS * length).fill(padId),
    mask: new Uint32Array(ROWS * length),
    types: new Uint32Array(ROWS * length),
    labels: new Float32Array(ROWS),
    sampleWeight: new Float32Array(ROWS),
    spanStart: new Uint32Array(ROWS),
    spanEnd: new Uint32Array(ROWS),
    spanWeight: new Float32Array(ROWS),
    inputs: Array.from({ length: ROWS }, (_, row) => row < texts.length ? row : -1),
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
  const programs = new Map<number, { program: InferenceProgram; logits: VocabularyScores[] }>();

  const programOf = async (length: number) => {
    const present = programs.get(length);
    if (present) return present;
    const batchShape = { size: ROWS, length, criteria: 1 };
    const places = { offset: inputBytes(batchShape), size: 4 * ROWS * length };
    const { graph, logits } = maskedLMGraph(inference.target, encoder, inference.parameters, (g) => ({
      inputs: batchTensors(g, batchShape),
      selected: g.fixed("selected", [ROWS, length], "input", { chunk: 0, ...places }),
    }));
    const wanted = logits.map(({ scores }) => scores);
    const bytes = places.offset + align(places.size);
    const made = { program: await inference.program(`masked LM ${length}`, graph, bytes, wanted), logits };
    programs.set(length, made);
    return made;
  };
  const suggest = oneAtATime(async (rows: readonly TokenQuery[], count: number) => {
    checkQueries(rows, count, encoder.vocab_size);
    const texts = rows.map((row) => maskedText(row, limit, options));
    const results: TokenCandidate[][] = rows.map(() => []);
    for (const length of buckets) {
      const shorter = buckets[buckets.indexOf(length) - 1] ?? 0;
      const members = [...texts.keys()].filter((i) => texts[i]!.ids.length > shorter && texts[i]!.ids.length <= length);
      for (let first = 0; first < members.length; first += ROWS) {
        const group = members.slice(first, first + ROWS);
        const batch = batchOf(group.map((i) => texts[i]!), length, padId);
        checkIds(batch, encoder);
        const selected = new Uint32Array(ROWS * length);
        group.forEach((i, row) => selected[row * length + texts[i]!.position] = 1);
        const { program, logits } = await programOf(length);
        const packed = packBatch(batch, encoder);
        gpu.device.queue.writeBuffer(program.input, 0, packed);
        gpu.device.queue.writeBuffer(program.input, packed.length, selected);
        const values = await program.run();
        group.forEach((i, row) => results[i] = topCandidates(logits, values, row, count));
      }
    }
    return results;
  });
  return { source: "masked_lm", suggest, close: inference.close };
}
