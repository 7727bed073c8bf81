/** What the post-processor in tokenizer.json says of offsets and of the frame around texts. */
import { z } from "zod";
import { inputError } from "../support/errors.ts";
import { check } from "./tokenizer_files.ts";

/** What we take from a post-processor. */
export interface PostProcessing {
  /** Steps that trim offsets, each with its `add_prefix_space`. */
  trims: boolean[];
  /** The tokens of the frame and the separators between the texts of a pair, where the post-processor makes a frame. */
  frame: { cls: string; sep: string; pairSeparators: number } | undefined;
}

const framing = z.object({ sep: z.tuple([z.string(), z.int()]), cls: z.tuple([z.string(), z.int()]) });
const trimming = z.object({ trim_offsets: z.boolean().default(true), add_prefix_space: z.boolean().default(true) });
const sequenceJson = z.object({ processors: z.array(z.looseObject({ type: z.string() })) });
const templateItem = z.union([
  z.object({ SpecialToken: z.object({ id: z.string() }) }).transform(({ SpecialToken }) => `token ${SpecialToken.id}`),
  z.object({ Sequence: z.object({ id: z.string() }) }).transform(({ Sequence }) => `text ${Sequence.id}`),
]);
const templateJson = z.object({ single: z.array(templateItem), pair: z.array(templateItem) });

/**
 * Reads a post-processor.
 *
 * @param json the entry in tokenizer.json, its type checked to be text; nothing for none
 * @throws an input error when it is damaged, of an unknown type, or makes another frame than one of the BERT family
 */
export function readPostProcessor(json: { type: string } | null | undefined, path: string): PostProcessing {
  const where = `"post_processor" in ${path}`;
  switch (json?.type) {
    case undefined:
      return { trims: [], frame: undefined };
    case "ByteLevel":
      return { trims: trimsOf(json, where), frame: undefined };
    case "RobertaProcessing":
      return { trims: trimsOf(json, where), frame: { ...frameOf(json, where), pairSeparators: 2 } };
    case "BertProcessing":
      return { trims: [], frame: { ...frameOf(json, where), pairSeparators: 1 } };
    case "TemplateProcessing":
      return { trims: [], frame: templateFrame(check(templateJson, json, where), where) };
    case "Sequence": {
      const parts = check(sequenceJson, json, where).processors.map((part) => {
        if (part.type === "Sequence") throw unsupported(where, "a Sequence in a Sequence");
        return readPostProcessor(part, path);
      });
      return { trims: parts.flatMap(({ trims }) => trims), frame: parts.findLast(({ frame }) => frame)?.frame };
    }
    default:
      throw unsupported(where, json!.type);
  }
}

function trimsOf(json: unknown, where: string): boolean[] {
  const { trim_offsets, add_prefix_space } = check(trimming, json, where);
  return trim_offsets ? [add_prefix_space] : [];
}

function frameOf(json: unknown, where: string): { cls: string; sep: string } {
  const { cls, sep } = check(framing, json, where);
  return { cls: cls[0], sep: sep[0] };
}

/** The frame of a template: `cls A sep`, and for pairs `cls A sep B sep` or `cls A sep sep B sep`. */
function templateFrame({ single, pair }: z.infer<typeof templateJson>, where: string): PostProcessing["frame"] {
  const [cls, a, sep] = single;
  const separators = pair.length - 4;
  const isFrame = single.length === 3 && a === "text A" && cls!.startsWith("token ") && sep!.startsWith("token ") &&
    (separators === 1 || separators === 2) &&
    pair.join("\n") === [cls, a, ...Array(separators).fill(sep), "text B", sep].join("\n");
  if (!isFrame) throw unsupported(where, `the template ${single.join(", ")}; ${pair.join(", ")}`.slice(0, 200));
  const name = (item: string) => item.slice("token ".length);
  return { cls: name(cls!), sep: name(sep!), pairSeparators: separators };
}

function unsupported(where: string, what: string) {
  return inputError(
    `${where} is ${what}; supported are RobertaProcessing, BertProcessing, ByteLevel and TemplateProcessing that frame ` +
      "texts as models of the BERT family do",
    "Choose a model of the families BERT, DistilBERT or RoBERTa with its own tokenizer",
  );
}
