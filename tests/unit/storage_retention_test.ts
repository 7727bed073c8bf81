import assert from "node:assert/strict";
import { join } from "node:path";
import { listCheckpoints } from "../../lib/storage/checkpoint.ts";
import { applyRetention } from "../support/apply_retention.ts";
import { saveEpoch, withFolder } from "./storage_scenario.ts";

const rule = (keep_last_n: number, keep_best_k: number, finished = false) => ({
  policy: { keep_last_n, keep_best_k },
  metric: "macro_f1",
  direction: "maximize" as const,
  finished,
});

/** Saves epochs 1, 2, … with these metrics. */
async function saveAll(parent: string, scores: number[]) {
  for (const [index, score] of scores.entries()) await saveEpoch(parent, index + 1, score);
}

const summary = async (parent: string) =>
  (await listCheckpoints(parent)).map((one) => `${one.info.epoch}${one.resumable ? "" : " weights"}`);

Deno.test("the last one whole and the best one without its optimizer remain", async () => {
  await withFolder(async (parent) => {
    await saveAll(parent, [0.1, 0.9, 0.5, 0.3]);
    const { kept, removed } = await applyRetention(parent, rule(1, 1));
    assert.deepEqual(removed, ["epoch_1", "epoch_3"]);
    assert.deepEqual(kept, await listCheckpoints(parent));
    assert.deepEqual(await summary(parent), ["2 weights", "4"]);
  });
});

Deno.test("all that tie with the best remain", async () => {
  await withFolder(async (parent) => {
    await saveAll(parent, [0.9, 0.1, 0.9, 0.9, 0.2]);
    await applyRetention(parent, rule(1, 1));
    assert.deepEqual(await summary(parent), ["1 weights", "3 weights", "4 weights", "5"]);
  });
});

Deno.test("a finished trial keeps no optimizer, and with keep_last_n 0 the best only", async () => {
  await withFolder(async (parent) => {
    await saveAll(parent, [0.1, 0.9, 0.5]);
    await applyRetention(parent, rule(0, 1));
    assert.deepEqual(await summary(parent), ["2 weights", "3"]);
    await applyRetention(parent, rule(0, 1, true));
    assert.deepEqual(await summary(parent), ["2 weights"]);
  });
});

Deno.test("with the newest one damaged nothing goes that is needed in its place", async () => {
  await withFolder(async (parent) => {
    await saveAll(parent, [0.9, 0.1, 0.2]);
    const path = join(parent, "epoch_3", "model.safetensors");
    const data = Deno.readFileSync(path);
    data[0] = data[0]! + 1; // the size stays: only reading it tells
    Deno.writeFileSync(path, data);
    const warnings: string[] = [];
    const { kept } = await applyRetention(parent, rule(1, 1), (message) => warnings.push(message));
    assert.deepEqual(kept.map((one) => [one.name, one.resumable]), [["epoch_1", false], ["epoch_2", true]]);
    assert.match(warnings.join(), /epoch_3: model\.safetensors has SHA-256/);
  });
});
