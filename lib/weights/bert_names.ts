/**
 * One set of names for BERT's tensors. Canonical are those of Hugging Face's `BertModel` without prefix, as in
 * "encoder.layer.0.attention.self.query.weight". Files carry a prefix of the model around it ("bert.", "model.",
 * "0.auto_model.") and old ones say LayerNorm.gamma and LayerNorm.beta.
 */
import { inputError, type WinnowError } from "../support/errors.ts";

const EMBEDDINGS = [
  "embeddings.word_embeddings.weight",
  "embeddings.position_embeddings.weight",
  "embeddings.token_type_embeddings.weight",
  "embeddings.LayerNorm.weight",
  "embeddings.LayerNorm.bias",
];

const LAYER = [
  "attention.self.query",
  "attention.self.key",
  "attention.self.value",
  "attention.output.dense",
  "attention.output.LayerNorm",
  "intermediate.dense",
  "output.dense",
  "output.LayerNorm",
].flatMap((module) => [`${module}.weight`, `${module}.bias`]);

const POOLER = ["pooler.dense.weight", "pooler.dense.bias"];

const embeddings = new Set([...EMBEDDINGS, ...POOLER]);
const layer = new Set(LAYER);

/** The canonical names of a BERT encoder, in the order of its modules. */
export function bertNames(layers: number, options: { pooler: boolean }): string[] {
  return [
    ...EMBEDDINGS,
    ...Array.from({ length: layers }, (_, index) => LAYER.map((name) => `encoder.layer.${index}.${name}`)).flat(),
    ...(options.pooler ? POOLER : []),
  ];
}

/** Prefix and canonical name of a tensor's name; undefined for what is no part of the encoder. */
function parse(name: string): { prefix: string; canonical: string } | undefined {
  const match = /^(.*?\.|)((?:embeddings|encoder\.layer\.\d+|pooler)\..+)$/.exec(name);
  if (!match) return undefined;
  const [, prefix = "", rest = ""] = match;
  const canonical = rest.replace(/\.LayerNorm\.gamma$/, ".LayerNorm.weight").replace(
    /\.LayerNorm\.beta$/,
    ".LayerNorm.bias",
  );
  const inLayer = /^encoder\.layer\.(?:0|[1-9]\d{0,4})\.(.+)$/.exec(canonical);
  return (inLayer ? layer.has(inLayer[1]!) : embeddings.has(canonical)) ? { prefix, canonical } : undefined;
}

/**
 * Canonical name → name in the file, for all tensors of a BERT encoder that the file has. Heads (`cls.*`), buffers
 * (`embeddings.position_ids`) and all else are left out; what is missing is for the caller to ask.
 *
 * @throws an input error when the file holds more than one encoder, or a tensor under its old and its new name
 */
export function resolveBertNames(available: Iterable<string>): Map<string, string> {
  const byPrefix = new Map<string, Map<string, string>>();
  for (const name of available) {
    const parsed = parse(name);
    if (!parsed) continue;
    let names = byPrefix.get(parsed.prefix);
    if (!names) byPrefix.set(parsed.prefix, names = new Map());
    const before = names.get(parsed.canonical);
    if (before !== undefined) {
      throw inputError(`The weights hold one tensor twice: "${before}" and "${name}"`, "Remove one of the two");
    }
    names.set(parsed.canonical, name);
  }
  if (byPrefix.size <= 1) return byPrefix.values().next().value ?? new Map();
  // The encoder is where the word embeddings are; a stray match elsewhere is none.
  const encoders = [...byPrefix].filter(([, names]) => names.has(EMBEDDINGS[0]!));
  if (encoders.length === 1) return encoders[0]![1];
  const found = [...(encoders.length > 1 ? encoders : byPrefix)].map(([prefix]) => `"${prefix}"`).slice(0, 5).join(
    ", ",
  );
  throw inputError(`The weights hold more than one BERT encoder, under ${found}`, "Choose a model with one encoder");
}

/**
 * The error that tells of expected tensors that a file lacks; undefined when it has them all.
 *
 * @param resolved what `resolveBertNames` found
 * @param expected canonical names, as from `bertNames`
 * @param where the file or folder, for the message
 */
export function missing(
  resolved: ReadonlyMap<string, string>,
  expected: Iterable<string>,
  where: string,
): WinnowError | undefined {
  const absent = [...expected].filter((name) => !resolved.has(name));
  if (absent.length === 0) return undefined;
  const first = absent.slice(0, 3).join(", ") + (absent.length > 3 ? ` and ${absent.length - 3} more` : "");
  return inputError(
    `${where} lacks ${absent.length} of the model's tensors: ${first}`,
    "Check that weights and config.json belong to the same BERT model",
  );
}
