/**
 * Reads PyTorch's checkpoints (`torch.save` since 1.6: a zip archive with a pickle and the tensors' bytes) without
 * running what a pickle can run, one tensor at a time.
 */
import { inputError, type WinnowError } from "../support/errors.ts";
import { openRandomAccess, quote, type RandomAccess } from "./random_access.ts";
import type { WeightsFormat } from "./shards.ts";
import { type FileRange, type StoredTensor, storedWeights } from "./stored_tensor.ts";
import { PickleError } from "./torch_pickle_bytes.ts";
import { isKind, resolveStorage } from "./torch_pickle_globals.ts";
import { ForbiddenGlobal, runPickle } from "./torch_pickle_machine.ts";
import type { Dict, Value } from "./torch_pickle_values.ts";
import { locateEntries, readZipDirectory } from "./torch_pickle_zip.ts";
import type { WeightsFile } from "./weights_file.ts";

const FORMAT = "PyTorch";

/** A state dict of forty thousand tensors stays below this; a pickle holds no values of tensors. */
const MAX_PICKLE_BYTES = 16 * 2 ** 20;

/** Under which entry a training checkpoint may keep the state dict. */
const WRAPPERS = ["state_dict", "model_state_dict", "model"];

const CONVERT = "Load it in Python where you trust it, and save the state dict with safetensors.torch.save_file";

/** Files as transformers wrote them before safetensors. */
export const TORCH: WeightsFormat<WeightsFile> = { file: "pytorch_model.bin", open: openTorch };

/**
 * Opens a checkpoint of PyTorch.
 *
 * @throws an input error when it is damaged, of a form that is not read (before PyTorch 1.6, TorchScript, big-endian),
 * names anything but what a state dict needs, or holds no state dict
 */
export function openTorch(path: string): WeightsFile {
  const file = openRandomAccess(path, FORMAT);
  try {
    checkZip(file);
    const directory = readZipDirectory(file);
    const folder = findFolder(file, directory.entries.map(({ name }) => name));
    const entries = locateEntries(file, directory);
    checkByteOrder(file, entries.get(`${folder}/byteorder`));
    const pickle = readSmall(file, entries.get(`${folder}/data.pkl`)!, MAX_PICKLE_BYTES, "data.pkl");
    const value = interpret(file, pickle, (key) => entries.get(`${folder}/data/${key}`));
    return storedWeights(file, tensorsOf(file, findStateDict(file, value)));
  } catch (error) {
    file.close();
    throw error;
  }
}

function checkZip(file: RandomAccess): void {
  const start = new Uint8Array(Math.min(4, file.size));
  file.read(0, start, "its first bytes");
  const [first, second, third, fourth] = start;
  if (first === 0x50 && second === 0x4b && third === 3 && fourth === 4) return;
  if (first === 0x80) {
    throw inputError(
      `${file.path} is a bare pickle, as PyTorch wrote before 1.6; only its zip archives are read`,
      CONVERT,
    );
  }
  throw file.refuse("it is no zip archive");
}

/** The archive's one folder. */
function findFolder(file: RandomAccess, names: readonly string[]): string {
  const folders = names.flatMap((name) => /^([^/]+)\/data\.pkl$/.exec(name)?.[1] ?? []);
  if (folders.length !== 1) throw file.refuse(`it holds ${folders.length} entries data.pkl in place of one`);
  const [folder] = folders as [string];
  if (names.includes(`${folder}/constants.pkl`)) {
    throw inputError(
      `${file.path} is a TorchScript archive, a program with weights`,
      "Save the model's state_dict() alone, best with safetensors.torch.save_file",
    );
  }
  return folder;
}

function readSmall(file: RandomAccess, { byteOffset, byteLength }: FileRange, limit: number, what: string): Uint8Array {
  if (byteLength > limit) throw file.refuse(`its ${what} has ${byteLength} bytes, more than the ${limit} allowed`);
  const bytes = new Uint8Array(byteLength);
  file.read(byteOffset, bytes, what);
  return bytes;
}

/** PyTorch before 2.1 wrote no byte order: that of the machine, which was little-endian. */
function checkByteOrder(file: RandomAccess, range: FileRange | undefined): void {
  if (!range) return;
  const order = new TextDecoder().decode(readSmall(file, range, 20, "byteorder"));
  if (order !== "little") {
    throw inputError(`${file.path} has the byte order ${quote(order)}; read is "little"`, CONVERT);
  }
}

function interpret(file: RandomAccess, pickle: Uint8Array, find: (key: string) => FileRange | undefined): Value {
  try {
    return runPickle(pickle, (id) => resolveStorage(id, find));
  } catch (cause) {
    if (!(cause instanceof PickleError)) throw cause;
    if (cause instanceof ForbiddenGlobal) {
      throw inputError(
        `The pickle in ${file.path} names ${cause.message}, which is not on the list of what weights may name; nothing was run`,
        "Use this model's safetensors weights or another model, or load the file in Python if you trust who made it",
        { cause },
      );
    }
    throw file.refuse(`in its pickle, ${cause.message}`, cause);
  }
}

/** The dict of tensors: the whole value, or what a training checkpoint keeps under a well-known name. */
function findStateDict(file: RandomAccess, value: Value): Dict {
  const candidates: [label: string, dict: Dict][] = [];
  if (isKind(value, "dict")) {
    if (holdsTensors(value)) candidates.push(["at the top", value]);
    for (const wrapper of WRAPPERS) {
      const inner = value.entries.get(wrapper);
      if (isKind(inner, "dict") && holdsTensors(inner)) candidates.push([`under "${wrapper}"`, inner]);
    }
  }
  if (candidates.length === 1) return candidates[0]![1];
  if (candidates.length === 0) throw noStateDict(file, "holds no dict of tensors");
  throw noStateDict(file, `holds several dicts of tensors: ${candidates.map(([label]) => label).join(", ")}`);
}

function noStateDict(file: RandomAccess, fault: string): WinnowError {
  return inputError(`${file.path} ${fault}`, "Save the model's state_dict() alone");
}

function holdsTensors({ entries }: Dict): boolean {
  return entries.values().some((value) => isKind(value, "tensor"));
}

function tensorsOf(file: RandomAccess, { entries }: Dict): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, value] of entries) {
    if (!isKind(value, "tensor")) continue; // what modules keep with get_extra_state
    if (typeof name !== "string") throw file.refuse("in its pickle, a tensor's name is not text");
    tensors.set(name, value.stored);
  }
  return tensors;
}
