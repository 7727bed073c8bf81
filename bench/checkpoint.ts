/**
 * Saving a checkpoint: its throughput against a raw write in pieces with SHA-256 on the same disk, and what a training
 * step loses to it: `deno task bench:checkpoint --layers 12 --hidden 768 --heads 12 --ffn 3072 --rounds 5 --json`.
 * `--folder` names the disk. The last line with --json is one object; ratios are medians of rounds that took turns.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { openGpu } from "../lib/gpu/device.ts";
import { elementCount } from "../lib/graph/tensor.ts";
import { publishCheckpoint } from "../lib/storage/checkpoint.ts";
import { diskFileSystem, writeAll } from "../lib/support/file_system.ts";
import { createBackground } from "../lib/support/background.ts";
import { openEngine } from "../lib/train/engine.ts";
import { checkpointTensors } from "../lib/train/parameter_arrays.ts";
import { createPace } from "../lib/train/pace.ts";
import { copyState, initialState, type StateCopy, writeCopy } from "../lib/train/state.ts";
import { planSmall, randomBatch, stepOptions } from "../tests/support/small_engine.ts";
import { median } from "../lib/support/median.ts";

const { values } = parseArgs({
  options: {
    layers: { type: "string", default: "12" },
    hidden: { type: "string", default: "768" },
    heads: { type: "string", default: "12" },
    ffn: { type: "string", default: "3072" },
    vocab: { type: "string", default: "30522" },
    batch: { type: "string", default: "1" },
    length: { type: "string", default: "32" },
    rounds: { type: "string", default: "5" },
    folder: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const number = (name: Exclude<keyof typeof values, "folder" | "json">): number => {
  const value = Number(values[name]);
  if (Number.isInteger(value) && value >= 1) return value;
  console.error(`error: Expected --${name} to be an integer above 0 but found ${JSON.stringify(values[name])}`);
  Deno.exit(2);
};

const rounds = number("rounds"), length = number("length"), rows = number("batch");
const gpu = await openGpu("auto");
const plan = planSmall(gpu, {
  encoder: {
    vocab_size: number("vocab"),
    hidden_size: number("hidden"),
    num_hidden_layers: number("layers"),
    num_attention_heads: number("heads"),
    intermediate_size: number("ffn"),
    max_position_embeddings: 512,
  },
  batchSize: rows,
  lengths: [length],
});
const engine = await openEngine(gpu, plan);
const ones = new Set(
  plan.parameters.specs.filter(({ initialisation }) => initialisation === "ones")
    .flatMap((spec) => checkpointTensors(spec).map(({ name }) => name)),
);
engine.load("parameter", (name, shape) => {
  const data = new Float32Array(elementCount(shape));
  if (ones.has(name)) return data.fill(1);
  // Any small numbers do: the time does not depend on them.
  for (let i = 0; i < data.length; i++) data[i] = 0.04 * (((i * 2654435761) >>> 8) / 2 ** 24 - 0.5);
  return data;
});

const batch = randomBatch("bench", { rows, length, vocabulary: number("vocab") });
let steps = 0;
const saves = createBackground();
const pace = createPace(engine, saves);
const step = async () => {
  const started = performance.now();
  engine.step([batch], stepOptions(++steps, 1e-5));
  await pace.queued();
  await pace.drain();
  return performance.now() - started;
};
const timed = async (work: () => Promise<unknown>) => {
  const started = performance.now();
  await work();
  return performance.now() - started;
};

const folder = await Deno.makeTempDir({ prefix: "winnow-bench-", ...(values.folder ? { dir: values.folder } : {}) });
const copyNow = () => copyState(engine, initialState(1, {}), { config: {}, tokenizer: new Map() });
const save = (copy: StateCopy) =>
  publishCheckpoint(
    join(folder, "checkpoints"),
    "step",
    (partial, fs) => writeCopy(partial, copy, fs),
    { step: steps, epoch: 0, kind: "epoch", metrics: {} },
  );

/** The same bytes in pieces into one file, hashed on the way, and synced. */
async function writeRaw(copy: StateCopy): Promise<void> {
  const path = join(folder, "raw");
  const hash = createHash("sha256");
  const file = await diskFileSystem.open(path, "replace");
  for (const { data } of [...copy.weights, ...copy.optimizer]) {
    const { buffer, byteOffset, byteLength } = data as Float32Array;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    for (let at = 0; at < bytes.length; at += 4 << 20) {
      const piece = bytes.subarray(at, at + (4 << 20));
      hash.update(piece);
      await writeAll(file, piece);
    }
  }
  hash.digest();
  await file.sync();
  file.close();
}

try {
  for (let i = 0; i < 2; i++) await step();
  const copy = await copyNow();
  const { bytes } = await save(copy);
  const raw: number[] = [], saved: number[] = [];
  await writeRaw(copy); // as the save above: neither is timed the first time
  const contenders = [
    { times: raw, path: join(folder, "raw"), write: () => writeRaw(copy) },
    { times: saved, path: join(folder, "checkpoints"), write: () => save(copy) },
  ];
  for (let round = 0; round < rounds; round++) {
    // Who goes first changes, and what is there is deleted outside of the time.
    for (const { times, path, write } of round % 2 === 0 ? contenders : contenders.toReversed()) {
      await Deno.remove(path, { recursive: true });
      times.push(await timed(write));
    }
  }

  const copied: number[] = [], alone: number[] = [], beside: number[] = [], besideSteps: number[] = [];
  for (let round = 0; round < rounds; round++) {
    alone.push(await step());
    let current: StateCopy | undefined;
    copied.push(await timed(async () => current = await copyNow()));
    besideSteps.push(
      await timed(() =>
        saves.start(async () => void await save(current!)).then(async () => {
          while (saves.isBusy) beside.push(await step());
          await saves.settle();
        })
      ),
    );
  }
  const parameters = plan.parameters.specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const result = {
    bench: "checkpoint",
    adapter: gpu.name,
    parameters,
    checkpoint_bytes: bytes,
    bytes_with_empty_rows: parameters * 12,
    raw_mb_per_s: Math.round(bytes / median(raw) / 1e3),
    save_mb_per_s: Math.round(bytes / median(saved) / 1e3),
    throughput_ratio: Number(median(raw.map((one, i) => one / saved[i]!)).toFixed(3)),
    save_ms: Math.round(median(saved)),
    /** What training waits for: the copy of the state. */
    stall_ms: Math.round(median(copied)),
    /** From the end of the copy to the published checkpoint, with steps beside it. */
    save_ms_beside_steps: Math.round(median(besideSteps)),
    step_ms: Math.round(median(alone)),
    step_ms_while_saving: Math.round(median(beside)),
  };
  console.log(values.json ? JSON.stringify(result) : result);
} finally {
  engine.close();
  await Deno.remove(folder, { recursive: true });
}
