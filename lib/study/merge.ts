/**
 * Checkpoints of trained tensors made into what others read: a whole model in Hugging Face's names, adapters merged into
 * the projections that they stand beside, or the adapter alone as Python's `peft` loads it.
 */
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { makeFolder } from "../storage/atomic_file.ts";
import { type Checkpoint, OPTIMIZER_FILE, verifyCheckpoint } from "../storage/checkpoint.ts";
import { inputError, storageError } from "../support/errors.ts";
import { adaptedTargets, adapterTensor, LORA_TARGETS, PEFT_PREFIX, targetWeight } from "../model/lora.ts";
import { isThere } from "../support/file_system.ts";
import { CONFIG_FILE, STATE_FILE, WEIGHTS_FILE } from "../train/state.ts";
import { type EncoderConfig, encoderConfigJson, parseEncoderConfig } from "../weights/encoder_config.ts";
import { type PretrainedOptions, resolvePretrained } from "../weights/pretrained.ts";
import { openSafetensors, writeSafetensors } from "../weights/safetensors.ts";
import { baseHash, type BaseSource, baseTensors, openBase } from "./base_weights.ts";

/** What `config.json` of a checkpoint says under `winnow`, as far as it is read here. */
const recordSchema = z.looseObject({
  base: z.looseObject({
    id: z.string(),
    revision: z.string(),
    seed: z.int().optional(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  }),
  tuning: z.discriminatedUnion("mode", [
    z.strictObject({ mode: z.enum(["bitfit", "freeze"]), freeze_layers: z.int().min(0) }),
    z.strictObject({
      mode: z.literal("lora"),
      freeze_layers: z.int().min(0),
      lora_rank: z.int().min(1).max(2 ** 16),
      lora_alpha: z.number().positive(),
      lora_dropout: z.number(),
      lora_targets: z.array(z.enum(Object.keys(LORA_TARGETS) as (keyof typeof LORA_TARGETS)[])).min(1),
    }),
  ]),
  encoder: z.unknown(),
});

/** Where things are. */
export interface MergeOptions {
  /** A checkpoint's folder. */
  readonly checkpoint: string;
  /** The folder to make; it must not exist. */
  readonly out: string;
  /** Folder or hub id of the base where it has moved; its weights must be the same. */
  readonly base?: string;
}

/** A checkpoint of trained tensors. */
export interface PartialModel {
  readonly checkpoint: Checkpoint;
  readonly record: z.infer<typeof recordSchema>;
  readonly encoder: EncoderConfig;
}

/**
 * What a verified checkpoint says of the base that it was trained on; undefined where it holds a whole model.
 *
 * @throws a storage error when it cannot be read
 */
export async function readPartial(checkpoint: Checkpoint): Promise<PartialModel | undefined> {
  const path = join(checkpoint.folder, CONFIG_FILE);
  const { winnow } = JSON.parse(await Deno.readTextFile(path));
  if (winnow?.tuning === undefined) return undefined;
  const record = recordSchema.safeParse(winnow);
  if (!record.success) {
    throw storageError(`${path} cannot be read: ${z.prettifyError(record.error)}`, "Use another checkpoint");
  }
  return { checkpoint, record: record.data, encoder: parseEncoderConfig(record.data.encoder, path) };
}

async function openPartial(folder: string): Promise<PartialModel> {
  const partial = await readPartial(await verifyCheckpoint(folder));
  if (partial) return partial;
  throw inputError(`${folder} holds a whole model: nothing is to be merged`, "Use the folder as it is");
}

/** The base of a checkpoint: where its first values are, and the seed of those that are random. */
export interface FoundBase {
  readonly source: BaseSource;
  readonly seed: number;
}

/**
 * Finds the base that a checkpoint names, as `model.id` is found, and checks that its weights are the same.
 *
 * @param place Folder or hub id of the base where it has moved
 * @throws an input error when it is missing or has other weights
 */
export async function findBase(
  { checkpoint: { folder }, record, encoder }: PartialModel,
  place?: string,
  options: PretrainedOptions = {},
): Promise<FoundBase> {
  const { id, revision, seed = 0, sha256 } = record.base;
  const found = id === "random" ? undefined : await resolvePretrained(
    place ?? id,
    place !== undefined || revision === "local" ? options : { ...options, revision },
  );
  const source = { encoder, folder: found?.folder };
  const hash = baseHash(source, seed);
  if (hash === sha256) return { source, seed };
  throw inputError(
    `${folder} holds what was trained on top of ${id} (revision ${revision}), whose weights are not those of ` +
      `${found?.folder ?? "its seed"}: their SHA-256 was ${sha256} and is ${hash}`,
    "Name a base with the weights that it was trained on",
  );
}

/** Makes a folder that is there whole or not at all. */
async function publishFolder(out: string, write: (folder: string) => Promise<void>): Promise<void> {
  const target = resolve(out);
  if (await isThere(target)) {
    throw inputError(`${out} exists`, "Name a folder that is to be made");
  }
  const partial = join(dirname(target), `.${basename(target)}.partial-${Deno.pid}`);
  await makeFolder(dirname(target));
  await Deno.mkdir(partial);
  try {
    await write(partial);
    await Deno.rename(partial, target);
  } catch (error) {
    await Deno.remove(partial, { recursive: true }).catch(() => {});
    throw error;
  }
}

/** W [N, K] += factor · B·A, in place; B [N, R], A [R, K]. Sums are rounded once, when they are added. */
function addProduct(weight: Float32Array, b: Float32Array, a: Float32Array, rank: number, factor: number): void {
  const columns = a.length / rank, rows = b.length / rank;
  const row = new Float64Array(columns);
  for (let n = 0; n < rows; n++) {
    row.fill(0);
    for (let r = 0; r < rank; r++) {
      const weightOfRow = factor * b[n * rank + r]!;
      if (weightOfRow === 0) continue;
      for (let k = 0; k < columns; k++) row[k]! += weightOfRow * a[r * columns + k]!;
    }
    for (let k = 0; k < columns; k++) weight[n * columns + k]! += row[k]!;
  }
}

/**
 * Makes a whole model of a checkpoint that holds what was trained on top of a base: `model.safetensors` with the encoder in
 * its family's names (of LoRA W + alpha / rank · B·A) and the heads, a `config.json` that `transformers` loads, and the
 * tokenizer's files. The base is the one that the checkpoint names, found as `model.id` is.
 *
 * @throws an input error when the checkpoint is whole already, the base is missing or has other weights, or `out` exists;
 * a storage error when the checkpoint is damaged
 */
export async function mergeTuned({ checkpoint: folder, out, base: place }: MergeOptions): Promise<void> {
  const partial = await openPartial(folder);
  const base = await findBase(partial, place);
  await publishFolder(out, (target) => writeMerged(partial, base, target));
}

/** Writes the whole model of a checkpoint on its base into a folder that exists. */
export async function writeMerged(
  { checkpoint, record, encoder }: PartialModel,
  { source, seed }: FoundBase,
  target: string,
): Promise<void> {
  const { folder } = checkpoint;
  using base = openBase(source, seed);
  using trained = openSafetensors(join(folder, WEIGHTS_FILE));
  const { tuning } = record;
  const adapted = new Map(
    tuning.mode !== "lora" ? [] : adaptedTargets(encoder, tuning).map(({ layer, target }) => [
      targetWeight(encoder, layer, target),
      (["A", "B"] as const).map((matrix) => adapterTensor(encoder, layer, target, matrix)) as [string, string],
    ]),
  );
  const own = baseTensors(encoder).map(({ name, shape, kind }) => ({
    name,
    shape,
    data: () => {
      if (trained.tensors.has(name)) return trained.readFloat32(name);
      const weight = base.read(name, shape, kind);
      const adapter = adapted.get(name);
      if (adapter && tuning.mode === "lora") {
        const [a, b] = adapter.map((matrix) => trained.readFloat32(matrix)) as [Float32Array, Float32Array];
        const [rows, columns] = shape as [number, number];
        if (a.length !== tuning.lora_rank * columns || b.length !== rows * tuning.lora_rank) {
          throw storageError(`${folder}: the adapter of ${name} does not fit it`, "Use another checkpoint");
        }
        addProduct(weight, b, a, tuning.lora_rank, tuning.lora_alpha / tuning.lora_rank);
      }
      return weight;
    },
  }));
  const known = new Set([...own.map(({ name }) => name), ...[...adapted.values()].flat()]);
  const heads = [...trained.tensors].filter(([name]) => !known.has(name)).map(([name, { shape }]) => ({
    name,
    shape,
    data: () => trained.readFloat32(name),
  }));
  await writeSafetensors(join(target, WEIGHTS_FILE), [...own, ...heads], { format: "pt" });
  const { tuning: _tuning, encoder: _encoder, base: { sha256: baseSha256, ...from }, ...kept } = record;
  const winnow = { ...kept, base: from, merged: { tuning, base_sha256: baseSha256 } };
  const config = { ...encoderConfigJson(encoder), torch_dtype: "float32", winnow };
  await Deno.writeTextFile(join(target, CONFIG_FILE), JSON.stringify(config, null, 2) + "\n");
  const written = [WEIGHTS_FILE, OPTIMIZER_FILE, STATE_FILE, CONFIG_FILE];
  for (const name of Object.keys(checkpoint.files).filter((name) => !written.includes(name))) {
    await Deno.copyFile(join(folder, name), join(target, name));
  }
}

/**
 * Makes a folder of a LoRA checkpoint's adapter that `peft.PeftModel.from_pretrained(base, folder)` loads:
 * `adapter_model.safetensors` and `adapter_config.json`. The heads are not in it.
 *
 * @throws an input error when the checkpoint has no adapter or `out` exists; a storage error when it is damaged
 */
export async function exportAdapter({ checkpoint: folder, out }: Omit<MergeOptions, "base">): Promise<void> {
  const { record: { tuning, base }, encoder } = await openPartial(folder);
  if (tuning.mode !== "lora") {
    throw inputError(`${folder} has no adapter: its tuning is ${tuning.mode}`, "Merge it into a whole model");
  }
  const targets = adaptedTargets(encoder, tuning);
  const modules = targets.map(({ layer, target }) => targetWeight(encoder, layer, target).replace(/\.weight$/, ""));
  await publishFolder(out, async (target) => {
    using trained = openSafetensors(join(folder, WEIGHTS_FILE));
    const tensors = [...trained.tensors].filter(([name]) => name.startsWith(PEFT_PREFIX)).map(([name, { shape }]) => ({
      name,
      shape,
      data: () => trained.readFloat32(name),
    }));
    await writeSafetensors(join(target, "adapter_model.safetensors"), tensors, { format: "pt" });
    const config = {
      peft_type: "LORA",
      base_model_name_or_path: base.id === "random" ? null : base.id,
      revision: base.revision === "local" || base.id === "random" ? null : base.revision,
      r: tuning.lora_rank,
      lora_alpha: tuning.lora_alpha,
      lora_dropout: tuning.lora_dropout,
      // A pattern, since of a list each name is an ending, and "output.dense" ends "attention.output.dense" as well.
      target_modules: `(.*\\.)?(${modules.map((name) => name.replaceAll(".", "\\.")).join("|")})`,
      bias: "none",
      fan_in_fan_out: false,
      init_lora_weights: true,
      inference_mode: true,
    };
    await Deno.writeTextFile(join(target, "adapter_config.json"), JSON.stringify(config, null, 2) + "\n");
  });
}
