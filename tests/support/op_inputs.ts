/** Inputs that ops need beside their float tensors, as the engine prepares them. */
import type { Batch } from "../../lib/data/batches.ts";
import { createGraph, type Target } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { noSpans } from "./agents.ts";
import { batchTensors, packBatch } from "../../lib/model/inputs.ts";
import { constant, type Leaf } from "./graph_runner.ts";

/** 1 + the last key to attend to of each text, 0 when there is none. mask [B, T] → [B]. */
export function keyLimits(mask: Uint32Array, length: number): Uint32Array {
  return Uint32Array.from({ length: mask.length / length }, (_, b) => {
    const row = [...mask.subarray(b * length, (b + 1) * length)];
    return row.findLastIndex((value) => value !== 0) + 1;
  });
}

const EMBEDDING_INPUTS = ["ids", "positions", "types"] as const;

type Lookup = Readonly<Record<string, Tensor>>;

/** What the embedding op reads of a batch, packed by the engine's own `packBatch`; mask 1 and type 0 unless given. */
export function embeddingInputs(
  { size, length, ids, mask, types }: Pick<Batch, "size" | "length" | "ids"> & Partial<Batch>,
  padId: number,
) {
  const packed = packBatch({
    size,
    length,
    ids,
    mask: mask ?? new Uint32Array(size * length).fill(1),
    types: types ?? new Uint32Array(size * length),
    labels: new Float32Array(size),
    sampleWeight: new Float32Array(size),
    ...noSpans(size, length, 1),
    inputs: [],
  }, { model_type: "bert", pad_token_id: padId, type_vocab_size: 2 });
  const places = batchTensors(createGraph({} as Target, false), { size, length, criteria: 1 });
  const leaf = ({ shape, slot }: Tensor): Leaf =>
    constant(shape, new Uint32Array(packed.buffer, slot!.offset, slot!.size / 4));
  const leaves: Record<string, Leaf> = {
    ...Object.fromEntries(EMBEDDING_INPUTS.map((name) => [name, leaf(places[name])])),
    wordOrder: leaf(places.wordSegments.order),
    wordRuns: leaf(places.wordSegments.runs),
    positionOrder: leaf(places.positionSegments.order),
    positionRuns: leaf(places.positionSegments.runs),
  };
  /** The attributes of the op, from the tensors made of `leaves`. */
  const attributes = (t: Lookup) => ({
    ids: t["ids"]!,
    positions: t["positions"]!,
    types: t["types"]!,
    wordSegments: { order: t["wordOrder"]!, runs: t["wordRuns"]! },
    positionSegments: { order: t["positionOrder"]!, runs: t["positionRuns"]! },
  });
  return { leaves, attributes };
}
