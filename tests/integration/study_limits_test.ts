/** Memory and disk that do not suffice: told with numbers before training, survived while it runs. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { folderBytes, formatBytes, freeBytes } from "../../lib/storage/disk.ts";
import {
  loggedEvents,
  resultOf,
  runCommand,
  startCommand,
  storedTrials,
  TINY,
  withFolder,
} from "../support/commands.ts";
import { assertRefused, checkRefusals, oneStep } from "../support/refusals.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();

Deno.test("a model that does not fit is refused with numbers and with what would fit", async () => {
  await withFolder(async (folder) => {
    const place = join(folder, "experiments");
    const dryRun = (...more: string[]) =>
      runCommand("train", ["--json", "--mode", "dry-run", `paths.experiments=${place}`, ...TINY, ...more]);
    const sizes = ["training.batch_size=64", "data.max_length=512"];
    const needs = async (...more: string[]) => {
      const { memory } = resultOf<{ memory: { total: number } }>(await dryRun(...more));
      return memory.total;
    };
    const total = await needs(...sizes);
    const suggestion = async (limit: number) => {
      const refused = await dryRun(...sizes, `gpu.memory_limit_gb=${limit / 1e9}`);
      assertRefused(refused, {
        error:
          /^error: The model needs [\d.]+ [MG]B of GPU memory but gpu\.memory_limit_gb allows [\d.]+ MB \(parameters .*\)$/,
        remedy: /./,
      });
      const text = refused.stderr.trimEnd().split("\n").at(-1)!;
      return { text, settings: text.match(/(?:training|data|gpu)\.\w+=[\w.-]+/g) ?? [] };
    };

    // A deep model with long texts fits when its layers are computed again.
    const deep = [...sizes, "model.encoder.num_hidden_layers=6"];
    const limit = 0.7 * await needs(...deep);
    const refused = await dryRun(...deep, `gpu.memory_limit_gb=${limit / 1e9}`);
    assertRefused(refused, {
      error: /^error: The model needs/,
      remedy: /Set training\.recompute=(feed_forward|layer) \(/,
    });
    const level = /training\.recompute=\w+/.exec(refused.stderr)![0];
    assert.ok(await needs(...deep, level, `gpu.memory_limit_gb=${limit / 1e9}`) <= limit);

    // Half the batch would fit, then less, then shorter texts.
    for (const limit of [0.9 * total, 0.3 * total, 12e6]) {
      const { text, settings } = await suggestion(limit);
      const fitting = await needs(
        ...settings,
        ...sizes.filter((one) => !settings.some((two) => two.split("=")[0] === one.split("=")[0])),
        `gpu.memory_limit_gb=${limit / 1e9}`,
      );
      assert.ok(fitting <= limit, text);
      // Twice the batch, or the next longer texts, would not.
      const larger = settings.map((one) => {
        const [key, value] = one.split("=") as [string, string];
        return key === "training.batch_size" ? `${key}=${2 * Number(value)}` : one;
      });
      assert.ok(await needs(...sizes, ...larger) > limit, `${text}: twice as much fits`);
    }
    // Below what the smallest batch takes there is nothing but a larger limit.
    const { text, settings } = await suggestion(9e6);
    assert.match(text, /Raise gpu\.memory_limit_gb, or choose a smaller model: even training\.batch_size=1 and data/);
    const [megabytes] = /take ([\d.]+) MB$/.exec(text)!.slice(1).map(Number);
    await needs(...settings, `gpu.memory_limit_gb=${(megabytes! + 0.01) / 1000}`);
  });
});

/** Bytes of the rows that a checkpoint's optimizer state leaves out, beside the indices of those that are there. */
async function emptyRowBytes(checkpoint: string): Promise<number> {
  const shapes = async (file: string): Promise<Record<string, { shape: number[] }>> => {
    const bytes = await Deno.readFile(join(checkpoint, file));
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    return JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  };
  const [weights, optimizer] = [await shapes("model.safetensors"), await shapes("optimizer.safetensors")];
  return Object.entries(optimizer).filter(([name]) => name.endsWith(".values")).reduce((sum, [name, { shape }]) => {
    const [stored, width] = shape as [number, number];
    const [all] = weights[name.replace(/^(first|second)_moment\./, "").replace(/\.values$/, "")]!.shape as [number];
    return sum + 4 * ((all - stored) * width - stored);
  }, 0);
}

Deno.test("what the preflight predicts is what is allocated and what a checkpoint takes, within 5%", async () => {
  await withFolder(async (experiments) => {
    // Large enough that fixed buffers and JSON files are small beside activations and weights.
    const settings = [
      "model.encoder.hidden_size=384",
      "model.encoder.num_hidden_layers=2",
      "model.encoder.intermediate_size=768",
      "data.max_length=64",
      "training.batch_size=4",
    ];
    const run = startCommand("train", oneStep(experiments, ...settings));
    const event = (message: string) => loggedEvents(experiments).find((one) => one.message === message);
    await run.until("its checkpoint", () => event("checkpoint saved") !== undefined);
    // Killed here, before the optimizer state of the finished trial is dropped.
    run.child.kill("SIGKILL");
    const { stderr } = await run.done;
    const within = (predicted: number, found: number, what: string) =>
      assert.ok(Math.abs(found / predicted - 1) <= 0.05, `${what}: ${predicted} bytes predicted, ${found} found`);

    const predicted = event("trial started")!.context.predicted_gpu_bytes;
    within(predicted, event("epoch")!.context.gpu_bytes, "GPU memory");
    assert.match(stderr, new RegExp(`^GPU memory   ${formatBytes(predicted)} of `, "m"), "told before training");

    const { folder, bytes } = event("checkpoint saved")!.context;
    const [, shown, unit] = /^checkpoints {2}([\d.]+) (.)B each /m.exec(stderr)!;
    const found = await folderBytes(join(experiments, folder));
    // What is predicted is the most: rows of the moments that are still zero are not stored.
    const leftOut = await emptyRowBytes(join(experiments, folder));
    assert.ok(leftOut > 0, "the sample's words are not all of the vocabulary");
    within(Number(shown) * { k: 1e3, M: 1e6, G: 1e9 }[unit!]!, found + leftOut, "checkpoint");
    assert.ok(found - bytes < 10_000, "the manifest is all that is not counted");
  });
});

Deno.test("folders that cannot be written", async (t) => {
  await withFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "file"), "");
    const inPlace = /experiments folder not writable: .*file.* \(a file stands where a folder is needed/;
    await checkRefusals(t, folder, {
      "a file in its place": {
        args: [`paths.experiments=${join(folder, "file")}`],
        code: 3,
        error: inPlace,
        remedy: /set paths\.experiments to another folder/,
      },
      "a file on the way": {
        args: [`paths.experiments=${join(folder, "file", "deeper")}`],
        code: 3,
        error: inPlace,
        remedy: /set paths\.experiments to another folder/,
      },
    });
    await t.step("resume and evaluate where nothing was started", async () => {
      const place = ["--json", `paths.experiments=${join(folder, "empty")}`];
      for (const task of ["resume", "evaluate"] as const) {
        const id = task === "evaluate" ? ["--study-id", crypto.randomUUID()] : [];
        assertRefused(await runCommand(task, [...id, ...place]), {
          error: /no study in .*empty/,
          remedy: /deno task train/,
        });
      }
    });
    await t.step("a folder that another run is using", async () => {
      const place = join(folder, "busy");
      const first = startCommand(
        "train",
        oneStep(place, "training.max_steps=null", "training.epochs=5000", "training.early_stopping=null"),
      );
      await first.until("its first trial", () => loggedEvents(place).length > 0);
      for (const task of ["train", "resume"] as const) {
        const more = task === "train" ? oneStep(place) : ["--json", `paths.experiments=${place}`];
        assertRefused(await runCommand(task, more), {
          code: 3,
          error: /another run is using the experiments folder .*busy/,
          remedy: /Wait for it to end or stop it/,
        });
      }
      first.child.kill("SIGKILL");
      await first.done;
    });
  });
});

Deno.test({
  name: `read-only and full disks${refusal}`,
  ignore: refusal !== "",
  async fn(t) {
    await t.step("a read-only file system", () =>
      withTmpfs("size=1m,ro", async (folder) => {
        assertRefused(await runCommand("train", oneStep(join(folder, "experiments"))), {
          code: 3,
          error: /experiments folder not writable: .*[Rr]ead-only file system/,
          remedy: /set paths\.experiments to another folder/,
        });
      }));
    await t.step(
      "too little room for the checkpoints, seen before training",
      () =>
        withTmpfs("size=3m", async (folder) => {
          assertRefused(await runCommand("train", oneStep(folder)), {
            code: 3,
            error: /The checkpoints of a trial need up to 4\.\d+ MB in \/.* but 3\.\d+ MB are free/,
            remedy: /Free space, set paths\.experiments to another disk, or lower retention\.keep_last_n/,
          });
          assert.deepEqual(storedTrials(folder), []);
        }),
    );
    await t.step(
      "a disk that fills up while a trial runs: nothing is lost, and resume goes on",
      () =>
        withTmpfs("size=6m", async (folder) => {
          const run = startCommand("train", oneStep(folder, "training.max_steps=null", "training.log_every=1"));
          await run.until("a step", () => loggedEvents(folder).some(({ message }) => message === "step"));
          const ballast = join(folder, "ballast");
          await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder) - 200_000));
          const { code, stdout, stderr } = await run.done;
          assert.deepEqual([code, stdout], [3, ""], stderr);
          const place = folder.replaceAll("/", "\\/");
          for (
            const line of [
              /^error: disk full while saving a checkpoint: [\d.]+ kB needed, [\d.]+ kB free \(.*checkpoints\)$/m,
              RegExp(`^error: usage: 6\\.\\d+ MB in ${place}, on a disk of 6\\.29 MB$`, "m"),
              RegExp(`^error:   [ \\d.]+ MB  ${place}\\/ballast$`, "m"),
              /^error: pruned before that: nothing was left that may go$/m,
              RegExp(
                `^ {2}remedy: .*\`deno task cleanup --execute paths\\.experiments=${place}\`.*retention_policy=least`,
                "m",
              ),
            ]
          ) assert.match(stderr, line);
          // The same is in the log, which had room all the same.
          const logged = loggedEvents(folder).find(({ level, message }) =>
            level === "ERROR" && message.startsWith("disk full while saving a checkpoint")
          );
          assert.match(logged!.message, /usage: .*\nlargest:\n.*ballast/);
          assert.match(logged!.context.remedy, /deno task cleanup/);
          assert.deepEqual(storedTrials(folder).map(({ state }) => state), ["RUNNING"]);
          await Deno.remove(ballast);
          const result = resultOf(await runCommand("resume", ["--json", `paths.experiments=${folder}`]));
          assert.deepEqual(result.trials.map(({ state }) => state), ["COMPLETE"]);
        }),
    );
  },
});
