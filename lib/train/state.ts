/**
 * What a checkpoint holds of a run: weights (those that were evaluated) and the optimizer's arrays as safetensors with
 * Hugging Face names, `config.json` and tokenizer files that Python's `transformers` reads, and `trainer_state.json` with
 * everything else that the next step depends on. Random numbers need no state: they are functions of seed and position.
 *
 * A save has two parts: the state is copied out of the device, while training waits, and the copy is written, while
 * training goes on.
 */
import { join } from "node:path";
import { z } from "zod";
import { type Checkpoint, OPTIMIZER_FILE } from "../storage/checkpoint.ts";
import { inputError, storageError, WinnowError } from "../support/errors.ts";
import { diskFileSystem, type FileSystem, readText, writeFile } from "../support/file_system.ts";
import { openSafetensors, type TensorToWrite, writeSafetensors } from "../weights/safetensors.ts";
import type { Engine } from "./engine.ts";
import { type ParameterArray, resumeArrays } from "./parameter_arrays.ts";
import { ROWS, VALUES, withEmptyRows, withoutEmptyRows } from "./stored_rows.ts";

/** File names within a checkpoint. */
export const WEIGHTS_FILE = "model.safetensors";
export const STATE_FILE = "trainer_state.json";
export const CONFIG_FILE = "config.json";

const epochRecord = z.strictObject({
  /** Counted from 1. */
  epoch: z.int().min(1),
  /** Optimizer steps done at its end. */
  step: z.int().min(0),
  train_loss: z.number().nullable(),
  validation: z.record(z.string(), z.number().nullable()),
  seconds: z.number(),
});

/** What one epoch came to. */
export type EpochRecord = z.infer<typeof epochRecord>;

/** The formats that are read, the written one last. Up to /1 every row of the optimizer's state was stored. */
const FORMATS = ["winnow-trainer-state/1", "winnow-trainer-state/2"] as const;
const FORMAT = FORMATS[1];

const stateSchema = z.strictObject({
  format: z.enum(FORMATS),
  /** Epochs done. */
  epoch: z.int().min(0),
  /** Optimizer steps done within the running epoch. */
  epoch_step: z.int().min(0),
  /** Optimizer steps done. */
  step: z.int().min(0),
  /** Micro-batches done: the position of the dropout streams. */
  draw: z.int().min(0),
  /** Sum and number of the running epoch's step losses. */
  loss_sum: z.number(),
  loss_count: z.int().min(0),
  history: z.array(epochRecord),
  /** Best objective so far and epochs since. */
  best: z.number().nullable(),
  epochs_since_best: z.int().min(0),
  seed: z.int(),
  /** Of a run that stores activations in 16 bits: what its loss is multiplied by, and steps since that last changed. */
  loss_scale: z.strictObject({ scale: z.number().positive(), good_steps: z.int().min(0) }).optional(),
  /** The state of an adaptive criteria loss [3K]; null for the others. */
  confidence: z.array(z.number()).nullable(),
  /** What must agree for the state to be continued. */
  signature: z.record(z.string(), z.json()),
});

/** Everything of a run that is not in the parameter arrays. */
export type TrainerState = z.infer<typeof stateSchema>;

/** The key of the SHA-256 of the base's weights, where a checkpoint holds no more than what was trained on top of them. */
export const BASE_HASH = "base_sha256";

/** What identifies a model's architecture and data: a checkpoint with another signature is refused. */
export type Signature = TrainerState["signature"];

/** The state before the first step. */
export function initialState(seed: number, signature: Signature): TrainerState {
  return {
    format: FORMAT,
    epoch: 0,
    epoch_step: 0,
    step: 0,
    draw: 0,
    loss_sum: 0,
    loss_count: 0,
    history: [],
    best: null,
    epochs_since_best: 0,
    seed,
    confidence: null,
    signature,
  };
}

/** Files that travel with the weights so that `transformers` loads the folder. */
export interface ModelFiles {
  /** `config.json` in Hugging Face's terms, with Winnow's own keys under `winnow`. */
  readonly config: Record<string, unknown>;
  readonly tokenizer: ReadonlyMap<string, Uint8Array>;
}

/** A run's state at one moment, in the computer's own memory: nothing that training does afterwards changes it. */
export interface StateCopy {
  readonly weights: readonly TensorToWrite[];
  readonly optimizer: readonly TensorToWrite[];
  /** Other files by name. */
  readonly files: ReadonlyMap<string, string | Uint8Array>;
}

/**
 * Copies a run's state out of the device, of the weights those that are trained.
 *
 * @param more Texts of further files by name
 */
export async function copyState(
  engine: Engine,
  state: TrainerState,
  files: ModelFiles,
  more: ReadonlyMap<string, string> = new Map(),
): Promise<StateCopy> {
  const copied = await engine.copy(["average", ...resumeArrays(engine.plan.options)], { trainedOnly: true });
  const weights = copied.filter(({ array }) => array === "average").map(({ name, shape, data }) => ({
    name,
    shape,
    data,
  }));
  const optimizer = copied.filter(({ array }) => array !== "average")
    .flatMap(({ array, name, shape, data }) => withoutEmptyRows(`${array}.${name}`, shape, data));
  const scaling = await engine.lossScale();
  const stored: TrainerState = {
    ...state,
    format: FORMAT,
    ...(scaling ? { loss_scale: { scale: scaling.scale, good_steps: scaling.goodSteps } } : {}),
  };
  return {
    weights,
    optimizer,
    files: new Map<string, string | Uint8Array>([
      [STATE_FILE, JSON.stringify(stored, null, 2) + "\n"],
      [CONFIG_FILE, JSON.stringify(files.config, null, 2) + "\n"],
      ...files.tokenizer,
      ...more,
    ]),
  };
}

/** Writes a copy into a folder; `publishCheckpoint` makes it atomic. */
export async function writeCopy(folder: string, copy: StateCopy, fs: FileSystem = diskFileSystem): Promise<void> {
  await writeSafetensors(join(folder, WEIGHTS_FILE), copy.weights, { format: "pt" }, fs);
  await writeSafetensors(join(folder, OPTIMIZER_FILE), copy.optimizer, {}, fs);
  for (const [name, contents] of copy.files) await writeFile(fs, join(folder, name), contents);
}

/** The trainer's state in a checkpoint. @throws a storage error when it is damaged */
export async function readState(
  checkpoint: Pick<Checkpoint, "folder">,
  fs: FileSystem = diskFileSystem,
): Promise<TrainerState> {
  const path = join(checkpoint.folder, STATE_FILE);
  try {
    const value = JSON.parse(await readText(fs, path));
    if (typeof value?.format === "string" && !FORMATS.includes(value.format)) throw otherFormat(path, value.format);
    return stateSchema.parse(value);
  } catch (error) {
    if (error instanceof WinnowError) throw error;
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : String(error);
    throw storageError(`${path} cannot be read: ${reason}`, "Resume from another checkpoint", { cause: error });
  }
}

const otherFormat = (path: string, found: string) =>
  storageError(
    `${path} is of the format ${found}, and this version reads ${FORMATS.join(" and ")}`,
    "Resume with the version of Winnow that saved it",
  );

/**
 * Refuses a checkpoint of another architecture, naming what differs.
 *
 * @throws an input error
 */
export function checkSignature(found: Signature, expected: Signature, where: string): void {
  const keys = [...new Set([...Object.keys(found), ...Object.keys(expected)])];
  const different = keys.filter((key) => JSON.stringify(found[key]) !== JSON.stringify(expected[key]));
  if (different.length === 0) return;
  if (different.length === 1 && different[0] === BASE_HASH) {
    throw inputError(
      `${where} holds what was trained on top of ${found["model"]} (revision ${
        found["revision"]
      }), whose weights are ` +
        `no longer the same: their SHA-256 was ${found[BASE_HASH]} and is ${expected[BASE_HASH]}`,
      "Restore the weights that it was trained on, or start a new study",
    );
  }
  const list = different.map((key) => `${key} is ${JSON.stringify(found[key])}, not ${JSON.stringify(expected[key])}`);
  throw inputError(
    `${where} was made by another model or on other data: ${list.join("; ")}`,
    "Use the configuration that the checkpoint was made with, or start a new study",
  );
}

/**
 * Loads the trained weights, and with `moments` all that training goes on from, from a checkpoint into an engine. What is
 * frozen must be there before.
 */
export function loadArrays(folder: string, engine: Engine, { moments }: { moments: boolean }): void {
  const load = (array: ParameterArray, file: string, prefix: string) => {
    using tensors = openSafetensors(join(folder, file));
    engine.load(array, (name, shape) => {
      const found = tensors.tensors.get(prefix + name);
      const rows = tensors.tensors.get(prefix + name + ROWS);
      if (!found && rows) {
        try {
          return withEmptyRows(
            shape,
            tensors.readInt32(prefix + name + ROWS),
            tensors.readFloat32(prefix + name + VALUES),
          );
        } catch (error) {
          throw storageError(
            `${join(folder, file)}: ${prefix}${name} of shape [${shape}] cannot be made of its rows: ` +
              (error as Error).message,
            "Use the configuration that the checkpoint was made with",
            { cause: error },
          );
        }
      }
      if (!found || found.shape.join() !== shape.join()) {
        throw storageError(
          `${join(folder, file)}: expected ${prefix}${name} of shape [${shape}] but found ` +
            (found ? `shape [${found.shape}]` : "no such tensor"),
          "Use the configuration that the checkpoint was made with",
        );
      }
      return tensors.readFloat32(prefix + name);
    }, { trainedOnly: true });
  };
  if (!moments) return load("parameter", WEIGHTS_FILE, "");
  for (const array of resumeArrays(engine.plan.options)) load(array, OPTIMIZER_FILE, `${array}.`);
  // Behind the parameters, which start the average anew.
  load("average", WEIGHTS_FILE, "");
}
