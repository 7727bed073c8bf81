/**
 * The names of an encoder's tensors. Winnow's own are those of Hugging Face's `BertModel` without prefix, as in
 * "encoder.layer.0.attention.self.query.weight"; DistilBERT calls the same tensors otherwise. Files carry a prefix of the
 * model around them ("bert.", "roberta.", "model.", "0.auto_model.") and old ones say LayerNorm.gamma and LayerNorm.beta.
 */
import { inputError, type WinnowError } from "../support/errors.ts";
import type { EncoderFamily } from "./encoder_config.ts";

/** The modules of a layer by BERT's names, and what DistilBERT calls them. */
const DISTILBERT_MODULES: Readonly<Record<string, string>> = {
  "attention.self.query": "attention.q_lin",
  "attention.self.key": "attention.k_lin",
  "attention.self.value": "attention.v_lin",
  "attention.output.dense": "attention.out_lin",
  "attention.output.LayerNorm": "sa_layer_norm",
  "intermediate.dense": "ffn.lin1",
  "output.dense": "ffn.lin2",
  "output.LayerNorm": "output_layer_norm",
};

const WORD_EMBEDDINGS = "embeddings.word_embeddings.weight";

/** Where a family's layers stand, and the names of its tensors within a layer and outside of layers. */
interface FamilyNames {
  readonly layers: string;
  readonly layer: ReadonlySet<string>;
  readonly others: ReadonlySet<string>;
}

const parameters = (modules: Iterable<string>) =>
  [...modules].flatMap((module) => [`${module}.weight`, `${module}.bias`]);

const EMBEDDINGS = [WORD_EMBEDDINGS, "embeddings.position_embeddings.weight", ...parameters(["embeddings.LayerNorm"])];

const BERT: FamilyNames = {
  layers: "encoder.layer",
  layer: new Set(parameters(Object.keys(DISTILBERT_MODULES))),
  others: new Set([...EMBEDDINGS, "embeddings.token_type_embeddings.weight", ...parameters(["pooler.dense"])]),
};

const FAMILIES: Record<EncoderFamily, FamilyNames> = {
  bert: BERT,
  roberta: BERT,
  distilbert: {
    layers: "transformer.layer",
    layer: new Set(parameters(Object.values(DISTILBERT_MODULES))),
    others: new Set(EMBEDDINGS),
  },
};

/**
 * What a family calls a tensor of its encoder, without prefix: the name that checkpoints have.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(familyName("distilbert", "encoder.layer.3.output.dense.bias"), "transformer.layer.3.ffn.lin2.bias");
 * assert.equal(familyName("roberta", "encoder.layer.3.output.dense.bias"), "encoder.layer.3.output.dense.bias");
 * ```
 */
export function familyName(family: EncoderFamily, name: string): string {
  const inLayer = family === "distilbert" ? /^encoder\.layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) : null;
  const module = inLayer && DISTILBERT_MODULES[inLayer[2]!];
  return module ? `transformer.layer.${inLayer[1]}.${module}.${inLayer[3]}` : name;
}

/** The present names of LayerNorm's parameters, where an old checkpoint says gamma and beta. */
function modernName(name: string): string {
  return name.replace(/(^|\.)(LayerNorm|\w*layer_norm)\.gamma$/, "$1$2.weight")
    .replace(/(^|\.)(LayerNorm|\w*layer_norm)\.beta$/, "$1$2.bias");
}

/** Prefix and unprefixed name of a tensor; undefined for what is no part of the family's encoder. */
function parse(name: string, { layers, layer, others }: FamilyNames): { prefix: string; own: string } | undefined {
  const escaped = layers.replace(".", "\\.");
  const match = new RegExp(`^(.*?\\.|)((?:embeddings|${escaped}\\.\\d+|pooler)\\..+)$`).exec(name);
  if (!match) return undefined;
  const prefix = match[1]!, own = modernName(match[2]!);
  const inLayer = new RegExp(`^${escaped}\\.(?:0|[1-9]\\d{0,4})\\.(.+)$`).exec(own);
  return (inLayer ? layer.has(inLayer[1]!) : others.has(own)) ? { prefix, own } : undefined;
}

/**
 * The family's own name → name in the file, for all tensors of the encoder that the file has. Heads (`cls.*`), buffers
 * (`embeddings.position_ids`) and all else are left out; what is missing is for the caller to ask.
 *
 * @throws an input error when the file holds more than one encoder, or a tensor under its old and its new name
 */
export function resolveEncoderNames(available: Iterable<string>, family: EncoderFamily): Map<string, string> {
  const byPrefix = new Map<string, Map<string, string>>();
  for (const name of available) {
    const parsed = parse(name, FAMILIES[family]);
    if (!parsed) continue;
    let names = byPrefix.get(parsed.prefix);
    if (!names) byPrefix.set(parsed.prefix, names = new Map());
    addOnce(names, parsed.own, name);
  }
  if (byPrefix.size <= 1) return byPrefix.values().next().value ?? new Map();
  // The encoder is where the word embeddings are; a stray match elsewhere is none.
  const encoders = [...byPrefix].filter(([, names]) => names.has(WORD_EMBEDDINGS));
  if (encoders.length === 1) return encoders[0]![1];
  const found = [...(encoders.length > 1 ? encoders : byPrefix)].map(([prefix]) => `"${prefix}"`).slice(0, 5).join(
    ", ",
  );
  throw inputError(`The weights hold more than one encoder, under ${found}`, "Choose a model with one encoder");
}

function addOnce(names: Map<string, string>, own: string, name: string): void {
  const before = names.get(own);
  if (before !== undefined) {
    throw inputError(`The weights hold one tensor twice: "${before}" and "${name}"`, "Remove one of the two");
  }
  names.set(own, name);
}

/** A masked-language-model head's tensors by the names that they have in each family, Winnow's name first. */
const HEADS: Record<EncoderFamily, readonly (readonly [string, readonly string[]])[]> = {
  bert: head("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.decoder", [
    "cls.predictions.bias",
  ]),
  roberta: head("lm_head.dense", "lm_head.layer_norm", "lm_head.decoder", ["lm_head.bias"]),
  distilbert: head("vocab_transform", "vocab_layer_norm", "vocab_projector", []),
};

function head(dense: string, norm: string, decoder: string, bias: readonly string[]) {
  return [
    ["dense.weight", [`${dense}.weight`]],
    ["dense.bias", [`${dense}.bias`]],
    ["norm.weight", [`${norm}.weight`]],
    ["norm.bias", [`${norm}.bias`]],
    // Both names of the bias are one tensor in `transformers`; where a file has both, the decoder's counts.
    ["decoder.bias", [`${decoder}.bias`, ...bias]],
    ["decoder.weight", [`${decoder}.weight`]],
  ] as const;
}

/**
 * Name → name in the file of a masked-language-model head: `dense` and `norm` with `weight` and `bias`, `decoder.bias`,
 * and `decoder.weight` where the file has one (else it is the table of word embeddings). Undefined when the file lacks
 * any of the others, so has no head.
 */
export function resolveMaskedLMNames(
  available: Iterable<string>,
  family: EncoderFamily,
): Map<string, string> | undefined {
  const wanted = new Set(HEADS[family].flatMap(([, names]) => names));
  const present = new Map<string, string>();
  for (const name of available) {
    const modern = modernName(name);
    const own = wanted.has(modern) ? modern : [...wanted].find((tail) => modern.endsWith(`.${tail}`));
    if (own !== undefined && (own === modern || !present.has(own))) present.set(own, name);
  }
  const found = new Map<string, string>();
  for (const [name, candidates] of HEADS[family]) {
    const own = candidates.find((candidate) => present.has(candidate));
    if (own !== undefined) found.set(name, present.get(own)!);
    else if (name !== "decoder.weight") return undefined;
  }
  return found;
}

/**
 * The error that tells of expected tensors that a file lacks; undefined when it has them all.
 *
 * @param resolved what `resolveEncoderNames` found
 * @param expected the family's own names
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
    "Check that weights and config.json belong to the same model",
  );
}
