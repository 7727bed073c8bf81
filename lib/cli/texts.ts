/** Texts for prediction out of a stream of bytes: one object a line (JSON lines), or all of it as one text. */
import { inputError } from "../support/errors.ts";
import type { TextToPredict } from "../study/predict.ts";

/** Longest line or text that is read, in UTF-16 units: what is larger is no post. */
const MOST_CHARACTERS = 64 * 2 ** 20;

/** How a stream is read; `auto` takes JSON lines where the first thing in it is `{`. */
export type TextFormat = "auto" | "jsonl" | "text";

/** Texts to read. */
export interface TextSource {
  /** What messages call it: a path, or "stdin". */
  readonly name: string;
  readonly stream: ReadableStream<Uint8Array>;
  readonly format: TextFormat;
  /** The id of a source that is one text. */
  readonly id?: string;
}

/** The format that a file's name stands for. */
export function formatOf(path: string): TextFormat {
  if (/\.(jsonl|ndjson)$/i.test(path)) return "jsonl";
  return /\.(txt|text|md)$/i.test(path) ? "text" : "auto";
}

/** The stream as text, without a byte order mark. @throws an input error where it is not UTF-8 */
async function* decoded({ name, stream }: TextSource): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array) => {
    try {
      return bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode();
    } catch (cause) {
      throw inputError(`${name} is not UTF-8`, "Convert it first, for example with iconv", { cause });
    }
  };
  for await (const bytes of stream) {
    const text = decode(bytes);
    if (text !== "") yield text;
  }
  const rest = decode();
  if (rest !== "") yield rest;
}

const tooLong = (where: string) =>
  inputError(
    `${where} is longer than ${MOST_CHARACTERS / 2 ** 20} million characters`,
    "Give each text a line of JSON of its own",
  );

function parseLine(line: string, where: string): TextToPredict {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    // The parser's message quotes the line, which is text of a post.
    throw inputError(`${where} is not JSON`, 'Give an object a line, such as {"id": 1, "text": "…"}', { cause });
  }
  const { text, id = null } = (typeof value === "object" && value !== null ? value : {}) as Record<string, unknown>;
  if (typeof text !== "string") {
    throw inputError(`${where} has no "text" that is a string`, 'Give an object a line, such as {"text": "…"}');
  }
  if (id !== null && typeof id !== "string" && !(typeof id === "number" && Number.isFinite(id))) {
    throw inputError(`${where} has an "id" that is neither a string nor a number`, "Correct it, or leave it out");
  }
  return { id, text };
}

/**
 * Reads the texts of a stream as they come; no more of it is held than one line, or the one text that it is. Blank lines
 * are passed over, and other keys than `text` and `id`.
 *
 * @throws an input error that names the line, for what is no such object, not UTF-8 or too long
 */
export async function* readTexts(source: TextSource): AsyncGenerator<TextToPredict> {
  const { name } = source;
  let { format } = source;
  let pending: string[] = [], length = 0, line = 1;
  const take = () => {
    const text = pending.join("");
    [pending, length] = [[], 0];
    return text;
  };
  for await (const piece of decoded(source)) {
    let rest = piece;
    if (format === "auto") {
      const first = /\S/.exec(rest);
      if (first) format = first[0] === "{" ? "jsonl" : "text";
    }
    for (let end = rest.indexOf("\n"); format === "jsonl" && end >= 0; end = rest.indexOf("\n")) {
      pending.push(rest.slice(0, end));
      rest = rest.slice(end + 1);
      const text = take();
      // Blank beginnings may hold line breaks of their own, from before the format was known.
      line += text.split("\n").length - 1;
      if (text.trim() !== "") yield parseLine(text, `${name}, line ${line}`);
      line++;
    }
    pending.push(rest);
    length += rest.length;
    if (length > MOST_CHARACTERS) throw tooLong(format === "jsonl" ? `${name}, line ${line}` : name);
  }
  const text = take();
  if (format === "jsonl") {
    if (text.trim() !== "") yield parseLine(text, `${name}, line ${line}`);
  } else if (format === "text" || text !== "") yield { id: source.id ?? null, text };
}

/** How texts are gathered. */
export interface ChunkOptions {
  /** Texts of a chunk at most. */
  readonly texts: number;
  /** Characters of a chunk at most, but for the first text of one. */
  readonly characters: number;
  /** How long the first text of a chunk waits for others, in milliseconds: who writes line by line reads line by line. */
  readonly patienceMs: number;
  /** Ends the gathering with its reason. */
  readonly signal: AbortSignal;
}

/** Gathers texts into chunks. What was read before an error comes before the error. */
export async function* gatherTexts(
  texts: AsyncIterable<TextToPredict>,
  { texts: most, characters, patienceMs, signal }: ChunkOptions,
): AsyncGenerator<TextToPredict[]> {
  const iterator = texts[Symbol.asyncIterator]();
  let next: Promise<IteratorResult<TextToPredict>> | undefined;
  // Ends the present waiting. No promise outlives it: of one that was raced with every text, every text would be kept.
  let wake = () => {};
  const onAbort = () => wake();
  signal.addEventListener("abort", onAbort);
  const nextText = () =>
    new Promise<IteratorResult<TextToPredict> | "over">((resolve, reject) => {
      wake = () => signal.aborted ? reject(signal.reason) : resolve("over");
      if (signal.aborted) return wake();
      next ??= iterator.next();
      next.then(resolve, reject);
    });
  try {
    for (let done = false; !done;) {
      const chunk: TextToPredict[] = [];
      let size = 0, timer: ReturnType<typeof setTimeout> | undefined;
      try {
        while (chunk.length < most && size < characters) {
          const found = await nextText();
          if (found === "over") break;
          next = undefined;
          done = found.done === true;
          if (found.done) break;
          chunk.push(found.value);
          size += found.value.text.length;
          timer ??= setTimeout(() => wake(), patienceMs);
        }
      } catch (error) {
        // Of bad input the promise stays, and throws again behind the chunk.
        if (chunk.length === 0 || signal.aborted) throw error;
      } finally {
        clearTimeout(timer);
      }
      if (chunk.length > 0) yield chunk;
    }
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
