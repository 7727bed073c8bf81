/** The values that a model's parameters have before training, and the hash by which a base is recognised. */
import { createHash } from "node:crypto";
import type { Initialisation } from "../graph/parameters.ts";
import { elementCount } from "../graph/tensor.ts";
import { encoderParameters } from "../model/encoder.ts";
import { randomStream } from "../support/rng.ts";
import { checkpointTensors } from "../train/parameter_arrays.ts";
import type { EncoderConfig } from "../weights/encoder_config.ts";
import { resolveEncoderNames } from "../weights/encoder_names.ts";
import { openWeights } from "../weights/weights_file.ts";

/** Standard deviation of new weights, as `initializer_range` of BERT. */
const INITIALIZER_RANGE = 0.02;

/** Where the first values come from. */
export interface BaseSource {
  readonly encoder: EncoderConfig;
  /** Folder of the pretrained weights; undefined for random initialisation. */
  readonly folder: string | undefined;
}

/** Opened first values. */
export interface BaseWeights extends Disposable {
  /** A tensor by checkpoint name: pretrained, or as its kind of initialisation says. */
  read(name: string, shape: readonly number[], kind: Initialisation): Float32Array<ArrayBuffer>;
}

/**
 * Opens a model's first values: pretrained weights where there are any, else normal with standard deviation 0.02 (0 for
 * the padding row), zeros and ones as BERT starts, and uniform as `torch.nn.Linear` starts. Random values depend on seed
 * and name alone.
 *
 * @throws an input error when the weights cannot be read
 */
export function openBase({ folder, encoder }: BaseSource, seed: number): BaseWeights {
  const file = folder === undefined ? undefined : openWeights(folder);
  const names = file ? resolveEncoderNames(file.tensors.keys(), encoder.model_type) : new Map<string, string>();
  return {
    read(name, shape, kind) {
      const pretrained = names.get(name);
      if (file && pretrained !== undefined) return file.readFloat32(pretrained);
      const values = new Float32Array(elementCount(shape));
      const stream = randomStream(seed, "initialise", name);
      if (kind === "ones") values.fill(1);
      if (kind === "normal") {
        values.forEach((_, i) => values[i] = INITIALIZER_RANGE * stream.normal());
        if (name === "embeddings.word_embeddings.weight") {
          const width = shape[1]!, first = encoder.pad_token_id * width;
          values.fill(0, first, first + width);
        }
      }
      if (kind === "kaiming_uniform") {
        const bound = 1 / Math.sqrt(shape[1]!);
        values.forEach((_, i) => values[i] = bound * (2 * stream.uniform() - 1));
      }
      return values;
    },
    [Symbol.dispose]: () => file?.close(),
  };
}

/** Bytes of first values that are kept at most: an encoder of BERT-base's size in float32, with its heads. */
export const KEPT_BASE_BYTES = 512 * 2 ** 20;

/** First values in memory, for the next trial that starts from the same ones. */
export interface KeptBase {
  /** Bytes that are kept now. */
  readonly bytes: number;
  /**
   * As `openBase`, but what was read before for the same source and seed is not read again; another source or seed lets go
   * of all that is kept. The arrays that it gives are shared and must not be changed.
   *
   * @throws an input error when the weights cannot be read
   */
  open(source: BaseSource, seed: number): BaseWeights;
}

/**
 * Keeps first values of one source, as many as fit in `limit` bytes, which is asked when a source is begun. A larger
 * encoder's other tensors are read from their file each time.
 */
export function keepBase(limit: () => number = () => KEPT_BASE_BYTES): KeptBase {
  let kept: { source: BaseSource; seed: number; limit: number; values: Map<string, Float32Array<ArrayBuffer>> };
  let bytes = 0;
  return {
    get bytes() {
      return bytes;
    },
    open(source, seed) {
      if (kept?.source !== source || kept.seed !== seed) {
        kept = { source, seed, limit: limit(), values: new Map() };
        bytes = 0;
      }
      const { values, limit: most } = kept;
      let base: BaseWeights | undefined;
      return {
        read(name, shape, kind) {
          // A head of another trial may have the name of this one's and another shape.
          const key = `${name} ${shape.join("x")} ${kind}`;
          const known = values.get(key);
          if (known) return known;
          const read = (base ??= openBase(source, seed)).read(name, shape, kind);
          if (bytes + read.byteLength <= most) {
            values.set(key, read);
            bytes += read.byteLength;
          }
          return read;
        },
        [Symbol.dispose]: () => base?.[Symbol.dispose](),
      };
    },
  };
}

/** Tensors of an encoder by checkpoint name, with their initialisation. */
export function baseTensors(encoder: EncoderConfig) {
  return encoderParameters(encoder).flatMap((spec) =>
    checkpointTensors(spec).map(({ name, shape }) => ({ name, shape, kind: spec.initialisation }))
  );
}

const hashes = new WeakMap<BaseSource, Map<number, string>>();

/**
 * SHA-256 of an encoder's first values, worked out once for each source: of every tensor, by name, the line
 * `NAME SHAPE\n` (SHAPE as in 768x768) and its values as little-endian float32. The format of the files makes no
 * difference to it.
 *
 * @param seed decides random values; pretrained ones do not depend on it
 * @throws an input error when the weights cannot be read
 */
export function baseHash(source: BaseSource, seed: number): string {
  const key = source.folder === undefined ? seed : 0;
  const known = hashes.get(source) ?? new Map<number, string>();
  hashes.set(source, known);
  let found = known.get(key);
  if (found === undefined) known.set(key, found = hashBase(source, seed));
  return found;
}

function hashBase(source: BaseSource, seed: number): string {
  using base = openBase(source, seed);
  const hash = createHash("sha256");
  for (const { name, shape, kind } of baseTensors(source.encoder).toSorted((a, b) => a.name < b.name ? -1 : 1)) {
    hash.update(`${name} ${shape.join("x")}\n`);
    hash.update(new Uint8Array(base.read(name, shape, kind).buffer));
  }
  return hash.digest("hex");
}
