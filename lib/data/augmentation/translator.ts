/**
 * Translation by models of the hub through `@huggingface/transformers` and onnxruntime-node: the one place where the
 * product runs a native engine, and only where somebody asks for back-translation.
 *
 * Decoding is greedy and one sentence at a time, so that a translation depends on the sentence and the models alone.
 */
import { basename, dirname, resolve } from "node:path";
import settings from "../../../deno.json" with { type: "json" };
import { inputError } from "../../support/errors.ts";

/** Precision of the ONNX files, in transformers.js's words, with what their names end in. */
export const ONNX_SUFFIXES = { fp32: "", fp16: "_fp16", int8: "_int8", uint8: "_uint8", q8: "_quantized", q4: "_q4" };
/** One of them. */
export type TranslationDtype = keyof typeof ONNX_SUFFIXES;

/** The files of a translation model, as transformers.js looks for them. */
export function translationFiles(dtype: TranslationDtype): string[] {
  const onnx = ["encoder_model", "decoder_model_merged"].map((part) => `onnx/${part}${ONNX_SUFFIXES[dtype]}.onnx`);
  return ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", ...onnx];
}

/** A model, loaded. */
export interface Translator {
  /** The translation; the text itself where it has more tokens than the model has positions. */
  translate(text: string): Promise<string>;
  close(): Promise<void>;
}

// No literal, since Deno fetches what a literal names (500 MB) before the program starts.
const PACKAGE = settings.imports["@huggingface/transformers"];

/** Tokens that a translation may have for each of the sentence's, and besides. */
export const TOKENS_PER_TOKEN = 2, MORE_TOKENS = 16;

/** The part of `@huggingface/transformers` that is used here. */
interface Transformers {
  env: Record<string, unknown>;
  AutoTokenizer: { from_pretrained(id: string, options: object): Promise<Tokenizer> };
  AutoModelForSeq2SeqLM: { from_pretrained(id: string, options: object): Promise<Model> };
}
interface Tokenizer {
  (text: string, options: object): { input_ids: { dims: number[] } };
  batch_decode(ids: unknown, options: object): string[];
}
interface Model {
  config: { max_position_embeddings?: number };
  generate(inputs: object): Promise<unknown>;
  dispose(): Promise<unknown>;
}

/** Whether this process may load native code. */
export async function mayTranslate(): Promise<boolean> {
  return (await Deno.permissions.query({ name: "ffi" })).state === "granted";
}

async function loadTransformers(): Promise<Transformers> {
  try {
    return await import(PACKAGE);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : cause;
    throw cause instanceof Deno.errors.NotCapable
      ? inputError(
        `Translation needs native code, which this task may not load: ${reason}`,
        "Use `deno task translate`",
        {
          cause,
        },
      )
      : inputError(`${PACKAGE} cannot be loaded: ${reason}`, `Run \`deno cache ${PACKAGE}\` where there is a network`, {
        cause,
      });
  }
}

/**
 * Loads a translation model from a folder that holds the {@link translationFiles}.
 *
 * @throws an input error when native code may not run here, the package cannot be had, or the files are not such a model
 */
export async function openTranslator(folder: string, dtype: TranslationDtype): Promise<Translator> {
  const { env, AutoTokenizer, AutoModelForSeq2SeqLM } = await loadTransformers();
  // Files come through our own hub cache; nothing is fetched and nothing is written here.
  Object.assign(env, {
    allowRemoteModels: false,
    allowLocalModels: true,
    localModelPath: dirname(resolve(folder)),
    useBrowserCache: false,
    useFSCache: false,
    logLevel: 40, // errors
  });
  const id = basename(folder);
  const options = { local_files_only: true, dtype, device: "cpu" };
  let tokenizer: Tokenizer, model: Model;
  try {
    tokenizer = await AutoTokenizer.from_pretrained(id, options);
    model = await AutoModelForSeq2SeqLM.from_pretrained(id, options);
  } catch (cause) {
    throw inputError(
      `${folder} holds no translation model: ${cause instanceof Error ? cause.message : cause}`,
      "Name ONNX models of a sequence-to-sequence family in augmentation.back_translation",
      { cause },
    );
  }
  return {
    async translate(text) {
      const inputs = tokenizer(text, {});
      const tokens = inputs.input_ids.dims.at(-1)!;
      const positions = model.config.max_position_embeddings ?? 512;
      if (tokens > positions) return text;
      const max_new_tokens = Math.min(TOKENS_PER_TOKEN * tokens + MORE_TOKENS, positions - 1);
      const ids = await model.generate({ ...inputs, do_sample: false, num_beams: 1, max_new_tokens });
      return tokenizer.batch_decode(ids, { skip_special_tokens: true })[0]!.trim();
    },
    async close() {
      await model.dispose();
    },
  };
}
