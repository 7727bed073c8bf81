import assert from "node:assert/strict";
import { basename, dirname, join } from "node:path";
import {
  cleanPartials,
  dropOptimizer,
  latestValid,
  listCheckpoints,
  removeCheckpoint,
  verifyCheckpoint,
} from "../../lib/storage/checkpoint.ts";
import { applyRetention } from "../support/apply_retention.ts";
import { runUntil } from "./storage_fault_injection.ts";
import { epochName, namesIn, saveEpoch, withFolder } from "./storage_scenario.ts";

const rule = {
  policy: { keep_last_n: 1, keep_best_k: 1 },
  metric: "macro_f1",
  direction: "maximize",
} as const;

/** Epoch 1 is the best: it loses its optimizer when 2 is saved, and 2 goes when 3 is saved. */
const scores = [0.9, 0.3, 0.4];

async function train(parent: string) {
  for (const [index, score] of scores.entries()) {
    await saveEpoch(parent, index + 1, score);
    await applyRetention(parent, rule);
  }
}

/** What must hold whenever the process dies: all that is visible verifies; returns the epochs that are visible. */
async function visibleEpochs(parent: string): Promise<number[]> {
  const epochs: number[] = [];
  await Deno.mkdir(parent, { recursive: true });
  for (const name of namesIn(parent).filter((one) => !one.startsWith("."))) {
    epochs.push((await verifyCheckpoint(join(parent, name))).info.epoch);
  }
  return epochs;
}

Deno.test("a run that dies at any of its file system operations leaves only whole checkpoints, and one at least", async () => {
  for (let cutAt = 0;; cutAt++) {
    let finished = false;
    await withFolder(async (folder) => {
      const parent = join(folder, "trial", "checkpoints");
      const { cut, trace } = await runUntil(cutAt, () => train(parent));
      finished = !cut;
      const published = trace.filter((one) =>
        one.what === "rename" && one.to && /^epoch_/.test(basename(one.to))
      ).length;
      const atOnce = await visibleEpochs(parent);
      if (published > 0) assert.ok(atOnce.includes(published), `cut at ${cutAt}: the newest checkpoint is not visible`);
      if (published > 1) {
        assert.ok(atOnce.includes(1), `cut at ${cutAt}: the best is not visible`);
      }

      await cleanPartials(parent);
      assert.deepEqual(await visibleEpochs(parent), atOnce, `cut at ${cutAt}: cleaning changed what is visible`);
      assert.deepEqual(
        namesIn(parent).filter((one) => one.startsWith(".")),
        [],
        `cut at ${cutAt}: leftovers`,
      );
      for (const one of await listCheckpoints(parent)) {
        assert.deepEqual(
          namesIn(one.folder),
          ["manifest.json", ...Object.keys(one.files)].sort(),
          `cut at ${cutAt}: leftovers in ${one.name}`,
        );
      }
      const resume = await latestValid(parent, { resumable: true });
      assert.equal(resume?.info.epoch ?? 0, published, `cut at ${cutAt}: wrong resume point`);

      // What follows must work as if nothing had happened.
      for (let epoch = published + 1; epoch <= scores.length; epoch++) {
        await saveEpoch(parent, epoch, scores[epoch - 1]!);
      }
      await applyRetention(parent, rule);
      assert.deepEqual(await visibleEpochs(parent), [1, 3]);
    });
    if (finished) {
      assert.ok(cutAt > 60, `only ${cutAt} operations were seen: the watch is broken`);
      break;
    }
  }
});

Deno.test("replacing a checkpoint of the same name: at any instant the old or the new one can be had", async () => {
  for (let cutAt = 0;; cutAt++) {
    let finished = false;
    await withFolder(async (folder) => {
      await saveEpoch(folder, 1, 0.1);
      const { cut } = await runUntil(cutAt, async () => void await saveEpoch(folder, 1, 0.2));
      finished = !cut;
      await cleanPartials(folder);
      const found = await latestValid(folder);
      assert.ok(found !== null, `cut at ${cutAt}: no checkpoint`);
      assert.ok([0.1, 0.2].includes(found.info.metrics["macro_f1"]!));
      if (finished) assert.equal(found.info.metrics["macro_f1"], 0.2);
      assert.deepEqual(namesIn(folder), [epochName(1)]);
    });
    if (finished) break;
  }
});

Deno.test("dropping the optimizer: the checkpoint verifies at any instant, and the file is gone in the end", async () => {
  for (let cutAt = 0;; cutAt++) {
    let finished = false;
    await withFolder(async (folder) => {
      const saved = await saveEpoch(folder, 1, 0.1);
      const { cut } = await runUntil(cutAt, async () => void await dropOptimizer(saved));
      finished = !cut;
      const found = await verifyCheckpoint(saved.folder);
      await cleanPartials(folder);
      assert.deepEqual(namesIn(saved.folder), ["manifest.json", ...Object.keys(found.files)].sort());
      assert.equal(found.resumable, "optimizer.safetensors" in found.files);
      if (finished) assert.equal(found.resumable, false);
    });
    if (finished) break;
  }
});

Deno.test("before the publishing rename all files and folders are synced, the parent after it", async () => {
  await withFolder(async (parent) => {
    const { trace } = await runUntil(Infinity, async () => void await saveEpoch(parent, 1, 0.1));
    const rename = trace.findIndex((one) => one.what === "rename" && one.to === join(parent, epochName(1)));
    const partial = trace[rename]!.path;
    const before = trace.slice(0, rename);
    const files = ["model.safetensors", "optimizer.safetensors", "trainer_state.json"].map((one) => join(partial, one));
    for (const path of files) {
      const written = before.findLastIndex((one) => one.what === "write" && one.path === path);
      const synced = before.findLastIndex((one) => one.what === "sync" && one.path === path);
      assert.ok(written >= 0 && synced > written, `${basename(path)} was not synced after its last write`);
    }
    const manifest = before.findIndex((one) => one.what === "rename" && one.to === join(partial, "manifest.json"));
    const manifestSynced = before.findIndex((one) => one.what === "sync" && one.path === before[manifest]!.path);
    const folderSynced = before.findLastIndex((one) => one.what === "sync" && one.path === partial);
    assert.ok(manifestSynced >= 0 && manifestSynced < manifest, "the manifest was not synced before it got its name");
    assert.ok(folderSynced > manifest, "the folder was not synced after the manifest");
    assert.ok(trace.slice(rename).some((one) => one.what === "sync" && one.path === dirname(partial)));
  });
});

Deno.test("before any file of a checkpoint is deleted, the folder's new name or new manifest is synced", async () => {
  await withFolder(async (parent) => {
    const [first, second] = [await saveEpoch(parent, 1, 0.1), await saveEpoch(parent, 2, 0.2)];
    const removal = (await runUntil(Infinity, () => removeCheckpoint(first.folder))).trace;
    assert.deepEqual(removal.slice(0, 3).map((one) => one.what), ["rename", "sync", "remove"]);
    assert.equal(removal[1]!.path, parent);
    const reduction = (await runUntil(Infinity, async () => void await dropOptimizer(second))).trace;
    assert.deepEqual(reduction.slice(-3).map((one) => one.what), ["rename", "sync", "remove"]);
    assert.equal(reduction.at(-2)!.path, second.folder);
  });
});
