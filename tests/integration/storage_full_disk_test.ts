/** Full and read-only disks that are real: small file systems in memory, which only root may mount. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { listCheckpoints, verifyCheckpoint } from "../../lib/storage/checkpoint.ts";
import { ensureWritable, freeBytes } from "../../lib/storage/disk.ts";
import { applyRetention } from "../support/apply_retention.ts";
import { writeFileAtomic } from "../../lib/storage/atomic_file.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { namesIn, saveEpoch } from "../unit/storage_scenario.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();
const named = (name: string) => name + refusal;
const ignore = refusal !== "";

Deno.test({ name: named("a full disk: numbers and path, nothing left behind, old ones whole"), ignore }, async () => {
  await withTmpfs("size=4m", async (folder) => {
    const parent = join(folder, "checkpoints");
    await saveEpoch(parent, 1, 0.1, 1_000_000);
    const free = await freeBytes(folder);
    const error: WinnowError = await saveEpoch(parent, 2, 0.2, 1_500_000).then(
      () => assert.fail("3 MB were saved in 2 MB"),
      (error) => error,
    );
    assert.equal(exitCode(error), 3);
    assert.match(
      error.message,
      /^disk full while saving a checkpoint: 2\.\d+ MB needed, 2\.\d+ MB free \(.*epoch_2\)$/,
    );
    assert.deepEqual(namesIn(parent), ["epoch_1"]);
    assert.equal(await freeBytes(folder), free);
    await verifyCheckpoint(join(parent, "epoch_1"));

    // After room was made the same save works.
    await saveEpoch(parent, 2, 0.2, 700_000);
    await applyRetention(parent, {
      policy: { keep_last_n: 1, keep_best_k: 0 },
      metric: "macro_f1",
      direction: "maximize",
    });
    assert.deepEqual((await listCheckpoints(parent)).map((one) => one.name), ["epoch_2"]);
  });
});

Deno.test(
  { name: named("a full disk: at whichever byte it ends, the old checkpoint stays alone and whole"), ignore },
  async () => {
    // 4 KiB pages: from room for nothing to room for all but the last page, manifest included.
    await withTmpfs("size=200k", async (folder) => {
      const parent = join(folder, "checkpoints");
      await saveEpoch(parent, 1, 0.1, 10_000);
      const ballast = join(folder, "ballast");
      let failures = 0;
      for (let pages = 0;; pages++) {
        await Deno.writeFile(ballast, new Uint8Array(await freeBytes(folder) - pages * 4096));
        const error = await saveEpoch(parent, 2, 0.2, 10_000).then(() => null, (error) => error);
        await Deno.remove(ballast);
        await verifyCheckpoint(join(parent, "epoch_1"));
        if (error === null) break;
        failures++;
        assert.equal(exitCode(error), 3, String(error.stack));
        assert.deepEqual(namesIn(parent), ["epoch_1"]);
      }
      assert.ok(failures >= 6, `only ${failures} saves failed`);
      await verifyCheckpoint(join(parent, "epoch_2"));
    });
  },
);

Deno.test({ name: named("a full disk keeps the old file whole when a report is written"), ignore }, async () => {
  await withTmpfs("size=100k", async (folder) => {
    const path = join(folder, "report.json");
    await writeFileAtomic(path, "old");
    const write = writeFileAtomic(path, "x".repeat(200_000));
    await assert.rejects(write, (error: WinnowError) => error.kind === "storage" && error.message.includes(path));
    assert.equal(Deno.readTextFileSync(path), "old");
    assert.deepEqual(namesIn(folder), ["report.json"]);
  });
});

Deno.test({ name: named("a read-only or full experiments folder is refused by name"), ignore }, async () => {
  await withTmpfs("size=100k,ro", async (folder) => {
    const experiments = join(folder, "experiments");
    await assert.rejects(ensureWritable(experiments), (error: WinnowError) => {
      assert.equal(exitCode(error), 3);
      assert.ok(error.message.startsWith(`experiments folder not writable: ${experiments} (`), error.message);
      return error.remedy.includes("paths.experiments");
    });
  });
  await withTmpfs("size=100k", async (folder) => {
    await Deno.writeFile(join(folder, "ballast"), new Uint8Array(await freeBytes(folder)));
    await assert.rejects(ensureWritable(folder), { kind: "storage" });
    assert.deepEqual(namesIn(folder), ["ballast"]);
  });
});
