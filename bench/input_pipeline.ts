/**
 * From texts to what is uploaded to the GPU: tokenising, input rows with evidence, batches of equal shape, and the bytes
 * of each; against the fast tokenizer of Python's transformers (Rust, several threads) with its padding, which has no
 * evidence to align and packs nothing. Turns are interleaved, every one with a tokenizer that remembers no words; token
 * ids are compared first.
 *
 *   deno task bench:input [--json] [--data tweets|goemotions] [--rows 8000] [--max-length 128] [--batch 16]
 *     [--repetitions 5] [--threads 2] [--no-peers]
 *
 * The data are looked for in ../shared/data beside the project, or where WINNOW_DATA points. The last line of output is
 * one JSON object; with --json it is the only one.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { lengthBuckets, materialise, planBatches } from "../lib/data/batches.ts";
import { loadDataset } from "../lib/data/dataset.ts";
import { encodeExamples } from "../lib/data/encoding.ts";
import { packBatch } from "../lib/model/inputs.ts";
import { loadTokenizer } from "../lib/text/load_tokenizer.ts";
import { goEmotionsToDataset } from "../tests/fixtures/goemotions_to_dataset.ts";
import { dataFolder, tweetsToDataset } from "../tests/fixtures/tweets_to_dataset.ts";
import { median } from "../lib/support/median.ts";
import { startEngine } from "./peers/protocol.ts";
import { peerScript, python } from "./peers/python.ts";

const { values: options } = parseArgs({
  allowNegative: true,
  options: {
    json: { type: "boolean", default: false },
    data: { type: "string", default: "tweets" },
    rows: { type: "string", default: "8000" },
    "max-length": { type: "string", default: "128" },
    batch: { type: "string", default: "16" },
    repetitions: { type: "string", default: "5" },
    threads: { type: "string", default: "2" },
    peers: { type: "boolean", default: true },
  },
});

function fail(message: string): never {
  console.error(`error: ${message}`);
  Deno.exit(2);
}

const [rows, maxLength, batchSize, repetitions, threads] =
  (["rows", "max-length", "batch", "repetitions", "threads"] as const).map((name) => {
    const value = Number(options[name]);
    return Number.isInteger(value) && value >= 1 ? value : fail(`Expected --${name} to be an integer above 0`);
  }) as [number, number, number, number, number];
const convert = { tweets: tweetsToDataset, goemotions: goEmotionsToDataset }[options.data];
if (!convert) fail(`Expected --data to be tweets or goemotions but found ${options.data}`);

/** What a turn of the peer says. */
interface PeerTurn {
  readonly tokenise_ms: number;
  readonly batch_ms: number;
  readonly tokens: number;
  readonly batches: number;
  readonly checksum: number;
}

const folder = await Deno.makeTempDir({ prefix: "winnow-bench-" });
const vocabulary = join(dataFolder(), "tokenizers/bert-base-uncased");
const freshTokenizer = () => loadTokenizer(vocabulary, { lowercase: true });
await convert(folder, rows);
const { examples, criteria } = await loadDataset({ id: folder, criteria: "auto" });
const buckets = lengthBuckets(maxLength);
const encoder = { model_type: "bert", pad_token_id: 0, type_vocab_size: 2 } as const;

async function turn() {
  const tokenizer = await freshTokenizer();
  const start = performance.now();
  for (const { text } of examples) tokenizer.encode(text);
  const tokenised = performance.now();
  const { inputs } = encodeExamples(examples, await freshTokenizer(), {
    format: "multi_label",
    maxLength,
    docStride: null,
    aggregation: "max",
    criteria: criteria.map((name) => ({ name, text: name })),
  });
  const encoded = performance.now();
  const plan = planBatches(inputs, { batchSize, buckets, shuffle: { seed: 1, epoch: 1 } });
  const batches = plan.map((planned) => materialise(planned, inputs, tokenizer.padId));
  const batched = performance.now();
  const bytes = batches.reduce((sum, batch) => sum + packBatch(batch, encoder).byteLength, 0);
  const packed = performance.now();
  const tokens = inputs.reduce((sum, { ids }) => sum + ids.length, 0);
  const checksum = inputs.reduce((sum, { ids }) => sum + ids.reduce((of, id, place) => of + place * id, 0), 0);
  return {
    tokenise_ms: tokenised - start,
    encode_ms: encoded - tokenised,
    batch_ms: batched - encoded,
    pack_ms: packed - batched,
    batches: batches.length,
    tokens,
    checksum,
    bytes,
  };
}

const turns: Awaited<ReturnType<typeof turn>>[] = [], peerTurns: PeerTurn[] = [];
try {
  const peer = options.peers && await (async () => {
    for (const [name, bytes] of (await freshTokenizer()).files()) await Deno.writeFile(join(folder, name), bytes);
    const config = { tokenizer_class: "BertTokenizer", do_lower_case: true };
    await Deno.writeTextFile(join(folder, "tokenizer_config.json"), JSON.stringify(config));
    const texts = examples.map(({ text }) => text);
    const asked = { texts, max_length: maxLength, batch: batchSize, buckets };
    await Deno.writeTextFile(join(folder, "texts.json"), JSON.stringify(asked));
    return await startEngine<PeerTurn>("transformers", [
      python(),
      peerScript("input_speed.py"),
      folder,
      "--threads",
      String(threads),
    ]);
  })();
  const first = await turn(), other = peer ? await peer.run(1) : undefined;
  if (other && (first.tokens !== other.tokens || first.checksum !== other.checksum)) {
    const numbers = ({ tokens, checksum }: { tokens: number; checksum: number }) => `${tokens} tokens, sum ${checksum}`;
    throw new Error(
      `Expected the same token ids but found ${numbers(first)} here and ${numbers(other)} in transformers`,
    );
  }
  for (let repetition = 0; repetition < repetitions; repetition++) {
    turns.push(await turn());
    if (peer) peerTurns.push(await peer.run(1));
  }
  if (peer) await peer.close();
} finally {
  await Deno.remove(folder, { recursive: true });
}

const { tokens, batches, bytes } = turns[0]!;
const middle = <T>(of: readonly T[], figure: (turn: T) => number) => median(of.map(figure));
/** Texts and tokens per second of so many milliseconds. */
const rates = (milliseconds: number) => ({
  ms: Number(milliseconds.toFixed(1)),
  texts_per_second: Math.round(1000 * examples.length / milliseconds),
  tokens_per_second: Math.round(1000 * tokens / milliseconds),
});
const whole = middle(turns, (one) => one.encode_ms + one.batch_ms + one.pack_ms);
const tokenise = middle(turns, (one) => one.tokenise_ms);
const peers = peerTurns.length === 0 ? {} : {
  transformers: {
    tokenise: rates(middle(peerTurns, (one) => one.tokenise_ms)),
    whole: rates(middle(peerTurns, (one) => one.batch_ms)),
    ratio_tokenise: Number((middle(peerTurns, (one) => one.tokenise_ms) / tokenise).toFixed(2)),
    ratio_whole: Number((middle(peerTurns, (one) => one.batch_ms) / whole).toFixed(2)),
  },
};
const result = {
  bench: "input",
  data: options.data,
  texts: examples.length,
  tokens,
  batches,
  bytes,
  max_length: maxLength,
  batch: batchSize,
  repetitions,
  threads,
  winnow: {
    tokenise: rates(tokenise),
    whole: rates(whole),
    encode_ms: Number(middle(turns, (one) => one.encode_ms).toFixed(1)),
    batch_ms: Number(middle(turns, (one) => one.batch_ms).toFixed(1)),
    pack_ms: Number(middle(turns, (one) => one.pack_ms).toFixed(1)),
  },
  ...peers,
};
if (!options.json) {
  const { winnow } = result;
  console.log(
    `${examples.length} texts, ${tokens} tokens: tokenised ${winnow.tokenise.texts_per_second} texts/s, ` +
      `rows, batches and bytes ${winnow.whole.texts_per_second} texts/s (${winnow.whole.tokens_per_second} tokens/s)`,
  );
}
console.log(JSON.stringify(result));
