import assert from "node:assert/strict";
import { join } from "node:path";
import { makeFolder, writeFileAtomic } from "../../lib/storage/atomic_file.ts";
import { ensureWritable, folderBytes, formatBytes, freeBytes, preflight } from "../../lib/storage/disk.ts";
import { checkpointsFolder, studyDatabasePath, studyFolder } from "../../lib/storage/layout.ts";
import { lockFolder } from "../../lib/storage/lock.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { namesIn, withFolder } from "./storage_scenario.ts";

Deno.test("formatBytes writes three digits", () => {
  const expected = {
    0: "0 B",
    999: "999 B",
    1000: "1.00 kB",
    99_949: "99.9 kB",
    999_499: "999 kB",
    999_500: "1.00 MB",
  };
  for (const [bytes, text] of Object.entries(expected)) assert.equal(formatBytes(Number(bytes)), text);
  assert.equal(formatBytes(10e9), "10.0 GB");
});

Deno.test("freeBytes equals df's available bytes, also for a path that does not exist yet", async () => {
  await withFolder(async (folder) => {
    const { stdout } = new Deno.Command("df", { args: ["--output=avail", "-B1", folder] }).outputSync();
    const available = Number(new TextDecoder().decode(stdout).split("\n")[1]);
    for (const path of [folder, join(folder, "not", "yet")]) {
      const difference = Math.abs(await freeBytes(path) - available);
      assert.ok(difference < 50e6, `differs from df by ${difference} bytes`);
    }
  });
});

Deno.test("preflight: (weights + optimizer + 1 MB) × (last + best), and one more while saving", async () => {
  await withFolder(async (folder) => {
    const plan = {
      weightsBytes: 4e6,
      optimizerBytes: 8e6,
      keepLast: 2,
      keepBest: 1,
      isSearch: false,
      capBytes: 1e10,
      ownedBytes: 0,
    };
    const found = await preflight(plan, folder);
    assert.equal(found.perCheckpointBytes, 13e6);
    assert.equal(found.neededBytes, 13e6 * 4);
    assert.equal(found.fits, found.freeBytes >= 52e6);
    assert.equal((await preflight({ ...plan, weightsBytes: 1e18 }, folder)).fits, false);
    assert.equal((await preflight({ ...plan, keepLast: 0, keepBest: 0 }, folder)).neededBytes, 26e6);
  });
});

Deno.test("preflight: a search keeps the best trials beside the one that runs, all within the cap and one save", async () => {
  await withFolder(async (folder) => {
    const plan = { weightsBytes: 4e6, optimizerBytes: 8e6, keepLast: 1, keepBest: 1, ownedBytes: 0 };
    const search = await preflight({ ...plan, isSearch: true, capBytes: 1e10 }, folder);
    assert.deepEqual([search.neededBytes, search.studyBytes], [39e6, 39e6 + 2 * 5e6]);
    const capped = await preflight({ ...plan, isSearch: true, capBytes: 20e6 }, folder);
    assert.deepEqual([capped.neededBytes, capped.studyBytes, capped.fits], [33e6, 33e6, true]);
    // A resume point and the best without its optimizer take 18 MB.
    assert.equal((await preflight({ ...plan, isSearch: true, capBytes: 17.9e6 }, folder)).fits, false);
    // What is there already makes room for what comes in its place.
    const large = { ...plan, weightsBytes: search.freeBytes, optimizerBytes: 0, isSearch: false, capBytes: 1e18 };
    assert.equal((await preflight(large, folder)).fits, false);
    assert.equal((await preflight({ ...large, ownedBytes: 3 * search.freeBytes }, folder)).fits, true);
  });
});

Deno.test("folderBytes sums all files below, and is 0 for what is not there", async () => {
  await withFolder(async (folder) => {
    Deno.mkdirSync(join(folder, "a", "b"), { recursive: true });
    Deno.writeFileSync(join(folder, "a", "one"), new Uint8Array(10));
    Deno.writeFileSync(join(folder, "a", "b", "two"), new Uint8Array(5));
    assert.equal(await folderBytes(folder), 15);
    assert.equal(await folderBytes(join(folder, "none")), 0);
  });
});

Deno.test("ensureWritable makes the folder, leaves nothing in it, and refuses a file in its place", async () => {
  await withFolder(async (folder) => {
    await ensureWritable(join(folder, "a", "experiments"));
    assert.deepEqual(namesIn(join(folder, "a", "experiments")), []);
    const file = join(folder, "file");
    Deno.writeTextFileSync(file, "");
    for (const path of [file, join(file, "experiments"), "/proc/experiments"]) {
      await assert.rejects(ensureWritable(path), (error: WinnowError) => {
        assert.ok(error.message.startsWith(`experiments folder not writable: ${path}`), error.message);
        return exitCode(error) === 3;
      });
    }
  });
});

Deno.test("writeFileAtomic replaces a file and leaves no other", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "report.json");
    await writeFileAtomic(path, "ä");
    await writeFileAtomic(path, new Uint8Array([104, 105]));
    assert.equal(Deno.readTextFileSync(path), "hi");
    assert.deepEqual(namesIn(folder), ["report.json"]);
  });
});

Deno.test("one run at a time: the lock is refused to another and free again afterwards", async () => {
  await withFolder(async (folder) => {
    {
      using _lock = await lockFolder(folder);
      await assert.rejects(lockFolder(folder), (error: WinnowError) => error.message.includes(folder));
    }
    using _again = await lockFolder(folder);
  });
});

Deno.test("the experiments folder is laid out as documented", () => {
  assert.equal(studyDatabasePath("experiments"), "experiments/study.db");
  assert.equal(studyFolder("experiments", "1-2"), "experiments/study_1-2");
  assert.equal(checkpointsFolder("experiments", "1-2"), "experiments/trial_1-2/checkpoints");
});

Deno.test("folders made by several at once are made", async () => {
  const folder = await Deno.makeTempDir();
  try {
    for (let round = 0; round < 20; round++) {
      const deep = join(folder, `${round}`, "a", "b", "c");
      await Promise.all(Array.from({ length: 8 }, () => makeFolder(deep)));
      assert.ok((await Deno.stat(deep)).isDirectory);
    }
    await Deno.writeTextFile(join(folder, "file"), "");
    await assert.rejects(makeFolder(join(folder, "file")), Deno.errors.AlreadyExists);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
