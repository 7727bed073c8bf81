/** `deno task predict` and `export` as a user runs them: 1,000 texts in a pipe, held against the evaluator's own figures. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { z } from "zod";
import { loadConfig } from "../../lib/config/compose.ts";
import type { Example } from "../../lib/data/dataset.ts";
import { encodeExamples } from "../../lib/data/encoding.ts";
import type { TextPrediction } from "../../lib/report/prediction.ts";
import { openContext } from "../../lib/study/context.ts";
import { encodingOptions } from "../../lib/study/data_source.ts";
import { initialiseParameters } from "../../lib/study/model_source.ts";
import { engineOptions, evaluateOptions } from "../../lib/study/trial_context.ts";
import { openEngine } from "../../lib/train/engine.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { givenSpans } from "../../lib/train/aggregation.ts";
import { evaluationBatches, postPredictions } from "../../lib/train/evaluator.ts";
import { loadArrays } from "../../lib/train/state.ts";
import { loadThresholds } from "../../lib/train/thresholds_file.ts";
import { flipByte } from "../support/damage.ts";
import {
  feedCommand,
  follow,
  pipeCommand,
  resultOf,
  ROOT,
  runCommand,
  shellLine,
  type StudyOutput,
  TINY,
  withFolder,
} from "../support/commands.ts";
import { nastyTexts } from "../support/text_samples.ts";

const place = (experiments: string) => `paths.experiments=${experiments}`;
const readJson = (path: string) => JSON.parse(Deno.readTextFileSync(path));
/** A few steps: long enough that every tensor has moved, short enough that evidence is still found everywhere. */
const LEARNT = [...TINY, "training.max_steps=3", "training.learning_rate=1e-3", "training.batch_size=8"];

/** 1,000 texts: emoji, accents, controls, nothing at all, one very long. */
function thousandTexts(): string[] {
  const said = "I can't sleep 😴, I eat nothing and café visits bore me. Nothing is fun any more! 👩‍👩‍👧 Why? ";
  const texts = nastyTexts(960, 7).map((text, i) => i % 2 === 0 ? text : `${said.slice(i % 40)}${text}`);
  const lone = ["\ud83d", "x\udc00y I am tired"];
  texts.push("", " ", "\n", "a", ...lone, "É".repeat(300), said.repeat(600), ...Array(32).fill(said));
  assert.equal(texts.length, 1000);
  return texts;
}

const jsonLines = (texts: readonly string[]) => texts.map((text, id) => JSON.stringify({ id, text }) + "\n").join("");

function predictionsOf(stdout: string): TextPrediction[] {
  const schema = z.fromJSONSchema(readJson(join(ROOT, "contracts/prediction.schema.json")));
  return stdout.trimEnd().split("\n").map((line) => schema.parse(JSON.parse(line)) as TextPrediction);
}

/** What evaluation's own engine says of the same texts with a trial's checkpoint: built as the evaluator builds it. */
async function evaluated(experiments: string, { trial_id, checkpoint }: StudyOutput["trials"][0], texts: string[]) {
  const file = join(experiments, `trial_${trial_id}`, "config.yaml");
  const context = await openContext(loadConfig({ file }), crypto.randomUUID(), new AbortController().signal);
  const { criteria } = context.data.dataset;
  const examples = texts.map((text, i): Example => ({
    postId: String(i),
    text,
    labels: new Uint8Array(criteria.length),
    evidence: criteria.map(() => null),
    allEvidence: criteria.map(() => []),
  }));
  const { inputs } = encodeExamples(examples, context.model.tokenizer, encodingOptions(context.config, criteria));
  const engine = await openEngine(context.gpu, planEngine(context.gpu, engineOptions(context)));
  initialiseParameters(engine, context.model, context.config.seed);
  loadArrays(checkpoint!, engine, { moments: false });
  const options = evaluateOptions(context);
  const batches = evaluationBatches(inputs, engine.plan.options.batchSize, options);
  const { predictions } = await engine.evaluate(batches, options);
  engine.close();
  const thresholds = await loadThresholds(checkpoint!, criteria);
  return { ...postPredictions(inputs, predictions, options), thresholds };
}

const CASES: Record<string, string[]> = {
  "one window of a whole model": ["data.max_length=32", "model.max_spans_per_doc=3"],
  "windows, an average of the weights, a CRF": [
    ...[
      "data.doc_stride=8",
      "data.window_aggregation=mean",
      "training.ema_decay=0.5",
      "model.criteria_pooling=attention",
    ],
    ...["model.evidence_head_type=bio_crf", "model.task_coupling=coupled", "model.coupling_method=gate"],
  ],
  "pairs in windows, adapters": [
    ...["data.input_format=binary_pairs", "data.doc_stride=4", "data.criteria=[SLEEP_ISSUES,FATIGUE]"],
    ...["tuning.mode=lora", "model.evidence_head_type=biaffine"],
  ],
};

Deno.test("predict says of 1,000 texts what the evaluator does, to the bit, and its offsets slice them", async (t) => {
  await withFolder(async (folder) => {
    const texts = thousandTexts();
    const lines = join(folder, "texts.jsonl");
    await Deno.writeTextFile(lines, jsonLines(texts));
    for (const [name, settings] of Object.entries(CASES)) {
      await t.step(name, async () => {
        const experiments = join(folder, name.replaceAll(" ", "_"));
        const train = ["--mode", "single", "--json", place(experiments), ...LEARNT, ...settings];
        const trial = resultOf(await runCommand("train", train)).trials[0]!;
        const expected = await evaluated(experiments, trial, texts);
        const args = ["--trial-id", trial.trial_id, "--input", lines, "--with-text", place(experiments)];
        const { code, stdout, stderr } = await runCommand("predict", args);
        assert.equal(code, 0, stderr);
        const predictions = predictionsOf(stdout);
        assert.deepEqual(predictions.map(({ id }) => id), [...texts.keys()], "in the order of the input");
        let spans = 0;
        for (const [i, { criteria }] of predictions.entries()) {
          criteria.forEach(({ criterion, probability, present, threshold, evidence }, k) => {
            assert.equal(probability, expected.probabilities[i * criteria.length + k], `text ${i}`);
            assert.equal(threshold, expected.thresholds.criteria[criterion]);
            assert.equal(present, probability >= threshold);
            const found = givenSpans(expected.spans[i * criteria.length + k]!, expected.thresholds.evidence);
            assert.deepEqual(
              evidence.map(({ start, end, score }) => [start, end, score]),
              found.map(({ start, end, score }) => [start, end, score]),
            );
            for (const { start, end, text } of evidence) {
              assert.ok(start < end && end <= texts[i]!.length, `text ${i}: ${start} to ${end}`);
              assert.equal(text, texts[i]!.slice(start, end));
              spans++;
            }
          });
        }
        assert.ok(spans > 100, `${spans} spans are enough to look at`);
        const long = predictions[texts.findIndex((text) => text.length > 50_000)]!;
        if (settings.some((one) => one.startsWith("data.doc_stride"))) {
          assert.ok(long.windows > 300 && long.truncated_tokens === 0, "a long text is read in windows");
        } else assert.ok(long.windows === 1 && long.truncated_tokens > 5_000, "or cut off, which is said");

        const model = join(folder, `${name.replaceAll(" ", "_")}_model`);
        const made = await runCommand("export", ["--trial-id", trial.trial_id, "--to", model, place(experiments)]);
        assert.equal(made.code, 0, made.stderr);
        // Nothing but the folder itself is needed any more.
        await Deno.rename(experiments, `${experiments}_away`);
        const again = predictionsOf((await runCommand("predict", ["--model", model, "--input", lines])).stdout);
        const largest = Math.max(
          ...again.flatMap(({ criteria }, i) =>
            criteria.map(({ probability }, k) => Math.abs(probability - predictions[i]!.criteria[k]!.probability))
          ),
        );
        // A merged adapter is rounded once more than one that stands beside its projection.
        assert.ok(largest <= (settings.includes("tuning.mode=lora") ? 1e-5 : 0), `probabilities differ by ${largest}`);
      });
    }
  });
});

Deno.test("predict in pipes: line by line, to a reader that goes, from stdin and files, with bad lines", async (t) => {
  await withFolder(async (folder) => {
    const experiments = join(folder, "experiments");
    const result = resultOf(
      await runCommand("train", ["--mode", "single", "--json", place(experiments), ...LEARNT]),
    );
    const args = [place(experiments)];

    await t.step("a line comes back before the next is written", async () => {
      const child = pipeCommand("predict", args);
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      const writer = child.stdin.getWriter();
      const encoder = new TextEncoder();
      for (const id of ["first", "second"]) {
        await writer.write(encoder.encode(JSON.stringify({ id, text: "I am tired." }) + "\n"));
        let line = "";
        while (!line.endsWith("\n")) {
          const { value, done } = await reader.read();
          assert.ok(!done, "the command is still there");
          line += value;
        }
        assert.equal(JSON.parse(line).id, id);
      }
      await writer.close();
      assert.equal((await reader.read()).done, true);
      await child.stderr.cancel();
      assert.equal((await child.status).code, 0);
    });

    await t.step("head takes what it wants: no error, no stack trace", async () => {
      const lines = join(folder, "many.jsonl");
      await Deno.writeTextFile(lines, jsonLines(Array(3000).fill("Nothing is fun any more.")));
      const predict = shellLine("predict", [...args, "--input", lines]);
      // The status is the pipe's first command's.
      const shell = new Deno.Command("bash", {
        args: ["-c", `${predict} | head -n 2; exit \${PIPESTATUS[0]}`],
        cwd: ROOT,
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const { code, stdout, stderr } = await follow(shell).done;
      assert.equal(code, 0, stderr);
      assert.deepEqual(stdout.trimEnd().split("\n").map((line) => JSON.parse(line).id), [0, 1]);
      assert.doesNotMatch(stderr, /error|at .*\.ts/i);
    });

    await t.step(
      "what is no JSON is one text; a file's name is its id; CRLF, blank lines and a mark are no matter",
      async () => {
        const text = "  Ich schlafe nicht — 😴\nund esse nichts.\n";
        const [plain, marked, empty] = await Promise.all([
          feedCommand("predict", args, text),
          feedCommand("predict", args, `\ufeff\r\n\n  {"text":"a"}\r\n\r\n{"id":"b","text":"b","label":1}`),
          feedCommand("predict", args, ""),
        ]);
        assert.equal(predictionsOf(plain.stdout).length, 1);
        assert.deepEqual(predictionsOf(marked.stdout).map(({ id }) => id), [null, "b"]);
        assert.deepEqual([empty.code, empty.stdout], [0, ""]);
        assert.match(empty.stderr, /^no text was given$/m);
        const path = join(folder, "post.txt");
        await Deno.writeTextFile(path, '{"looks": "like JSON"}');
        const file = await runCommand("predict", [...args, "--input", path]);
        assert.deepEqual(predictionsOf(file.stdout).map(({ id }) => id), [path]);
      },
    );

    await t.step("a bad line is named, behind the predictions of the lines before it, and never shown", async () => {
      const good = jsonLines(["one", "two"]);
      for (
        const [bad, message] of [
          ["my secret thoughts\n", /^error: stdin, line 3 is not JSON$/m],
          ['{"id": 5}\n', /^error: stdin, line 3 has no "text" that is a string$/m],
          ['{"id": {}, "text": "x"}\n', /^error: stdin, line 3 has an "id" that is neither a string nor a number$/m],
          ["[1]\n", /^error: stdin, line 3 has no "text"/m],
          [new Uint8Array([0x7b, 0xff, 0x0a]), /^error: stdin is not UTF-8$/m],
        ] as const
      ) {
        const bytes = typeof bad === "string" ? new TextEncoder().encode(bad) : bad;
        const input = new Uint8Array([...new TextEncoder().encode(good), ...bytes]);
        const { code, stdout, stderr } = await feedCommand("predict", args, input);
        assert.equal(code, 2, stderr);
        assert.match(stderr, message);
        assert.doesNotMatch(stderr, /secret/);
        if (typeof bad === "string") assert.equal(predictionsOf(stdout).length, 2);
      }
    });

    await t.step("for people: evidence marked in the text", async () => {
      const model = join(folder, "model");
      const made = resultOf<{ folder: string; weights_sha256: string }>(
        await runCommand("export", ["--study-id", result.study_id, "--to", model, "--json", place(experiments)]),
      );
      assert.equal(made.folder, model);
      // Thresholds of an export may be edited: here so that everything is present.
      const record = readJson(join(model, "winnow.json"));
      for (const criterion of record.criteria) record.thresholds[criterion] = 0;
      await Deno.writeTextFile(join(model, "winnow.json"), JSON.stringify(record));
      const shown = await feedCommand("predict", ["--model", model, "--text"], "I am \u001b[31mtired\u001b[0m. 😴");
      assert.equal(shown.code, 0, shown.stderr);
      assert.match(shown.stdout, /DEPRESSED_MOOD +0\.\d{3} \(≥ 0\.000\)/);
      assert.ok(!shown.stdout.includes("\u001b"), "a text gives the terminal no commands");
    });

    await t.step(
      "exports: refused over what is there, replaced with --force, never over what is not theirs",
      async () => {
        const to = join(folder, "out");
        const exporting = (...more: string[]) =>
          runCommand("export", ["--study-id", result.study_id, "--to", to, place(experiments), ...more]);
        assert.equal((await exporting()).code, 0);
        const card = await Deno.readTextFile(join(to, "README.md"));
        const { test, data } = readJson(result.summary_report);
        assert.ok(card.includes(`| ${test.criteria_macro_pr_auc.toFixed(4)} |`), card);
        assert.ok(card.includes(data.sha256) && card.includes("no diagnosis"));
        assert.ok(
          !card.includes(folder) && !Deno.readTextFileSync(join(to, "winnow.json")).includes(folder),
          "no paths",
        );
        z.fromJSONSchema(readJson(join(ROOT, "contracts/model.schema.json"))).parse(readJson(join(to, "winnow.json")));
        const second = await exporting();
        assert.deepEqual([second.code, second.stdout], [2, ""]);
        assert.match(second.stderr, /holds an exported model\n +remedy: Replace it with --force/);
        await Deno.writeTextFile(join(to, "README.md"), "mine");
        assert.equal((await exporting("--force")).code, 0);
        assert.equal(await Deno.readTextFile(join(to, "README.md")), card);
        await Deno.writeTextFile(join(to, "notes.txt"), "precious");
        const third = await exporting("--force");
        assert.equal(third.code, 2);
        assert.match(third.stderr, /is not empty: notes\.txt in it is of no export/);
        assert.equal(await Deno.readTextFile(join(to, "notes.txt")), "precious");
        assert.ok([...Deno.readDirSync(folder)].every(({ name }) => !name.startsWith(".")), "nothing is left aside");
      },
    );

    await t.step("models that are none, and damaged ones", async () => {
      const model = join(folder, "damaged");
      await runCommand("export", ["--study-id", result.study_id, "--to", model, place(experiments)]);
      const say = (folder: string) => feedCommand("predict", ["--model", folder], "x");
      await flipByte(join(model, "model.safetensors"));
      const flipped = await say(model);
      assert.equal(flipped.code, 3);
      assert.match(flipped.stderr, /model\.safetensors is not as it was exported: its SHA-256 differs/);
      const checkpoint = await say(result.trials[0]!.checkpoint!);
      assert.equal(checkpoint.code, 2);
      assert.match(
        checkpoint.stderr,
        /is no exported model: it has no winnow\.json\n +remedy: It is a trial's checkpoint/,
      );
      await Deno.writeTextFile(join(model, "winnow.json"), '{"format": "winnow-model/1", "batch_size": 1e9}');
      const bad = await say(model);
      assert.equal(bad.code, 2);
      assert.match(bad.stderr, /winnow\.json: /);
      const none = await feedCommand("predict", [place(join(folder, "nowhere"))], "x");
      assert.equal(none.code, 2);
      assert.match(none.stderr, /^error: no study in .*nowhere$/m);
    });
  });
});
