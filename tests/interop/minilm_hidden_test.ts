/** The real MiniLM weights on real posts: our tokenizer and encoder against `tokenizers` and `transformers`. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Batch } from "../../lib/data/batches.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { loadTokenizer } from "../../lib/text/load_tokenizer.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { initialiseParameters } from "../../lib/study/model_source.ts";
import { readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { minilmFolder } from "../fixtures/fetch_minilm.ts";
import { dataFolder } from "../fixtures/tweets_to_dataset.ts";
import { linearAgents, noSpans } from "../support/agents.ts";
import { parseTensors } from "../support/golden.ts";

const tweets = join(dataFolder(), "tweet_sentiment", "train.csv");
const absent = await Deno.stat(tweets).then(() => false, () => true);

Deno.test({
  name: "MiniLM's last hidden state equals transformers' within 2e-4 on 20 real posts",
  ignore: absent,
  async fn() {
    const python = Deno.env.get("WINNOW_PYTHON");
    assert.ok(python, "Set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
    const folder = await minilmFolder();
    const out = await Deno.makeTempFile({ suffix: ".safetensors" });
    const { success, stdout, stderr } = await new Deno.Command(python, {
      args: ["tests/peers/minilm_hidden.py", folder, tweets, out, "--limit", "20"],
      stdout: "piped",
      stderr: "piped",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const { posts } = JSON.parse(new TextDecoder().decode(stdout).trim().split("\n").at(-1)!) as { posts: string[] };
    assert.equal(posts.length, 20);
    const peer = parseTensors(await Deno.readFile(out));
    await Deno.remove(out);
    const [size, length] = peer.get("ids")!.shape as [number, number];

    const tokenizer = await loadTokenizer(folder);
    const ids = new Uint32Array(size * length).fill(tokenizer.padId);
    const mask = new Uint32Array(size * length);
    posts.forEach((post, row) => {
      const tokens = [tokenizer.clsId, ...tokenizer.encode(post).ids, tokenizer.sepId];
      ids.set(tokens, row * length);
      mask.fill(1, row * length, row * length + tokens.length);
    });
    assert.deepEqual([...ids], [...peer.get("ids")!.data]);
    assert.deepEqual([...mask], [...peer.get("mask")!.data]);

    const encoder = { ...await readEncoderConfig(folder), hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
    const gpu = await openGpu();
    const engine = await openEngine(
      gpu,
      planEngine(gpu, {
        model: linearAgents({ encoder, criteria: 1 }),
        optimizer: { name: "adamw", weightDecay: 0, beta1: 0.9, beta2: 0.999, epsilon: 1e-8, maxGradNorm: 1 },
        batchSize: size,
        lengths: [length],
        keepStates: true,
      }),
    );
    initialiseParameters(engine, { id: "minilm", revision: "local", encoder, tokenizer, folder }, 1);
    const batch: Batch = {
      size,
      length,
      ids,
      mask,
      types: new Uint32Array(size * length),
      labels: new Float32Array(size),
      sampleWeight: new Float32Array(size).fill(1),
      ...noSpans(size, length, 1),
      inputs: posts.map((_, i) => i),
    };
    const { predictions } = await engine.evaluate([batch], { lambdaClass: 1, lambdaSpan: 1 });
    const hidden = predictions[0]!.states.at(-1)!;
    const expected = peer.get("hidden")!.data;
    const width = encoder.hidden_size;
    let largest = 0;
    for (let token = 0; token < size * length; token++) {
      if (!mask[token]) continue;
      for (let i = token * width; i < (token + 1) * width; i++) {
        largest = Math.max(largest, Math.abs(hidden[i]! - expected[i]!));
      }
    }
    engine.close();
    assert.ok(largest <= 2e-4, `the last hidden state differs by ${largest}`);
  },
});
