import assert from "node:assert/strict";
import { join } from "node:path";
import {
  cleanTemporaries,
  dropOptimizer,
  latestValid,
  listCheckpoints,
  publishCheckpoint,
  removeCheckpoint,
  verifyCheckpoint,
} from "../../lib/storage/checkpoint.ts";
import { hashFile } from "../../lib/storage/manifest.ts";
import { exitCode, WinnowError } from "../../lib/support/errors.ts";
import { diskFileSystem, type FileSystem, writeFile } from "../../lib/support/file_system.ts";
import { namesIn, saveEpoch, withFolder } from "./storage_scenario.ts";

const info = { step: 1, epoch: 1, kind: "epoch", metrics: {} };

/** Adds one to the byte at `offset`. */
function flip(path: string, offset: number) {
  const data = Deno.readFileSync(path);
  data[offset] = data[offset]! + 1;
  Deno.writeFileSync(path, data);
}

Deno.test("hashFile equals the published digest of 'abc' and hashes files longer than one chunk", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "abc");
    Deno.writeTextFileSync(path, "abc");
    assert.deepEqual(await hashFile(path), {
      bytes: 3,
      sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", // FIPS 180-4
    });
    const large = new Uint8Array(9_000_001).map((_, i) => i % 251);
    Deno.writeFileSync(path, large);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", large));
    assert.equal((await hashFile(path)).sha256, digest.toHex());
  });
});

Deno.test("a published checkpoint holds its files, nested ones too, and what it says of itself", async () => {
  await withFolder(async (parent) => {
    const saved = await publishCheckpoint(join(parent, "new", "folder"), "best", async (folder) => {
      await Deno.writeTextFile(join(folder, "config.json"), "{}");
      await Deno.mkdir(join(folder, "tokenizer"));
      await Deno.writeTextFile(join(folder, "tokenizer", "vocab.txt"), "[PAD]\n");
    }, { ...info, metrics: { loss: NaN, f1: 0.5 }, signature: { layers: 2 } });
    assert.deepEqual(await verifyCheckpoint(saved.folder), saved);
    assert.deepEqual(Object.keys(saved.files), ["config.json", "tokenizer/vocab.txt"]);
    assert.equal(saved.bytes, 8);
    assert.deepEqual(saved.info, { ...info, metrics: { loss: null, f1: 0.5 }, signature: { layers: 2 } });
    assert.deepEqual(namesIn(join(parent, "new", "folder")), ["best"]);
  });
});

Deno.test("a failing write leaves nothing and keeps its own error", async () => {
  await withFolder(async (parent) => {
    const own = new Error("device lost");
    const publish = publishCheckpoint(parent, "one", () => Promise.reject(own), info);
    await assert.rejects(publish, (error) => error === own);
    assert.deepEqual(namesIn(parent), []);
  });
});

Deno.test("ill-typed info, a manifest from write and a name that is a path are refused before anything is visible", async () => {
  await withFolder(async (parent) => {
    await assert.rejects(publishCheckpoint(parent, "one", async () => {}, { ...info, step: -1 }));
    const writeManifest = (folder: string) => Deno.writeTextFile(join(folder, "manifest.json"), "{}");
    await assert.rejects(publishCheckpoint(parent, "one", writeManifest, info), RangeError);
    for (const name of ["../one", ".hidden", "", "a/b"]) {
      await assert.rejects(publishCheckpoint(parent, name, async () => {}, info), RangeError);
    }
    assert.deepEqual(namesIn(parent), []);
  });
});

Deno.test("each kind of damage is found, named by file and difference, with exit code 3", async () => {
  const damages: [what: string, damage: (folder: string) => void, message: RegExp][] = [
    [
      "flipped bit",
      (f) => flip(join(f, "model.safetensors"), 7),
      /: model\.safetensors has SHA-256 \w{64} where \w{64}/,
    ],
    [
      "truncated",
      (f) => Deno.truncateSync(join(f, "model.safetensors"), 99),
      /model\.safetensors has 99 bytes where 100/,
    ],
    ["missing", (f) => Deno.removeSync(join(f, "trainer_state.json")), /trainer_state\.json is missing/],
    ["no manifest", (f) => Deno.removeSync(join(f, "manifest.json")), /manifest\.json is missing/],
    ["half a manifest", (f) => Deno.truncateSync(join(f, "manifest.json"), 50), /manifest\.json is no JSON/],
    ["another format", (f) => replace(f, "winnow-checkpoint/1", "winnow-checkpoint/9"), /unexpected "format"/],
    ["a path that leaves", (f) => replace(f, "trainer_state.json", "../trainer_state.json"), /unexpected "files/],
    ["a changed metric", (f) => replace(f, "0.25", "0.75"), /manifest\.json does not match its own checksum/],
  ];
  const replace = (folder: string, from: string, to: string) => {
    const path = join(folder, "manifest.json");
    Deno.writeTextFileSync(path, Deno.readTextFileSync(path).replace(from, to));
  };
  for (const [what, damage, message] of damages) {
    await withFolder(async (parent) => {
      const { folder } = await saveEpoch(parent, 1, 0.25);
      damage(folder);
      await assert.rejects(verifyCheckpoint(folder), (error: WinnowError) => {
        assert.match(error.message, message, what);
        assert.ok(error.message.includes(folder), what);
        return exitCode(error) === 3;
      });
    });
  }
});

Deno.test("checkpoints are listed by step and not by name or time, hidden and damaged ones left out", async () => {
  await withFolder(async (parent) => {
    for (const epoch of [10, 9, 100, 1]) await saveEpoch(parent, epoch, 0);
    Deno.mkdirSync(join(parent, ".epoch_7.partial-1"));
    Deno.mkdirSync(join(parent, "notes"));
    const warnings: string[] = [];
    const listed = await listCheckpoints(parent, (message) => warnings.push(message));
    assert.deepEqual(listed.map((one) => one.info.epoch), [1, 9, 10, 100]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /notes: manifest\.json is missing/);
    assert.deepEqual(await listCheckpoints(join(parent, "absent")), []);
  });
});

Deno.test("a damaged newest checkpoint gives way to the one before it, with a warning", async () => {
  await withFolder(async (parent) => {
    for (const epoch of [1, 2, 3]) await saveEpoch(parent, epoch, 0);
    flip(join(parent, "epoch_3", "optimizer.safetensors"), 0);
    Deno.truncateSync(join(parent, "epoch_2", "model.safetensors"), 3);
    const warnings: string[] = [];
    const found = await latestValid(parent, { onWarning: (message) => warnings.push(message) });
    assert.equal(found?.name, "epoch_1");
    assert.deepEqual(warnings.map((message) => /epoch_\d/.exec(message)![0]).sort(), ["epoch_2", "epoch_3"]);
    flip(join(parent, "epoch_1", "model.safetensors"), 0);
    assert.equal(await latestValid(parent), null);
  });
});

Deno.test("every file of a checkpoint, flipped anywhere, truncated, emptied or missing: the one before is used, or none", async () => {
  const size = (path: string) => Deno.statSync(path).size;
  const damages: Record<string, (path: string) => void> = {
    "first bit flipped": (path) => flip(path, 0),
    "middle bit flipped": (path) => flip(path, size(path) >> 1),
    "last bit flipped": (path) => flip(path, size(path) - 1),
    "one byte short": (path) => Deno.truncateSync(path, size(path) - 1),
    "cut in half": (path) => Deno.truncateSync(path, size(path) >> 1),
    "one byte longer": (path) => Deno.writeFileSync(path, new Uint8Array(1), { append: true }),
    "emptied": (path) => Deno.truncateSync(path, 0),
    "missing": (path) => Deno.removeSync(path),
    "a folder in its place": (path) => {
      Deno.removeSync(path);
      Deno.mkdirSync(path);
    },
  };
  const names = ["model.safetensors", "optimizer.safetensors", "trainer_state.json", "manifest.json"];
  for (const name of names) {
    for (const [what, damage] of Object.entries(damages)) {
      await withFolder(async (parent) => {
        const [older, newer] = [await saveEpoch(parent, 1, 0.25), await saveEpoch(parent, 2, 0.5)];
        assert.deepEqual(namesIn(newer.folder), [...names].sort(), "a file of the checkpoint is not in this table");
        const about = `${name}: ${what}`;
        damage(join(newer.folder, name));
        await assert.rejects(verifyCheckpoint(newer.folder), { kind: "storage" }, about);
        const warnings: string[] = [];
        const onWarning = (message: string) => warnings.push(message);
        assert.equal((await latestValid(parent, { resumable: true, onWarning }))?.folder, older.folder, about);
        assert.ok(warnings.length === 1 && warnings[0]!.includes(newer.folder), `${about}: ${warnings}`);
        assert.ok(warnings[0]!.includes(name), `${about}: ${warnings}`);
        damage(join(older.folder, name));
        assert.equal(await latestValid(parent, { resumable: true }), null, about);
      });
    }
  }
});

Deno.test("files of a checkpoint are hashed as they are written: a short write, a second writing, one that is not seen", async () => {
  await withFolder(async (parent) => {
    const shortly: FileSystem = {
      ...diskFileSystem,
      async open(path, mode) {
        const file = await diskFileSystem.open(path, mode);
        const less = (bytes: Uint8Array) => bytes.subarray(0, Math.ceil(bytes.length / 3));
        return {
          write: (bytes) => file.write(less(bytes)),
          writeSync: (bytes) => file.writeSync(less(bytes)),
          sync: () => file.sync(),
          syncSync: () => file.syncSync(),
          sizeSync: () => file.sizeSync(),
          close: () => file.close(),
        };
      },
    };
    const saved = await publishCheckpoint(
      parent,
      "one",
      async (folder, fs) => {
        await writeFile(fs, join(folder, "short"), "abc".repeat(99));
        await writeFile(fs, join(folder, "twice"), "first, and longer");
        await writeFile(fs, join(folder, "twice"), "second");
        await writeFile(fs, join(folder, "aside"), "renamed");
        await fs.rename(join(folder, "aside"), join(folder, "named"));
        await writeFile(fs, join(folder, "cut"), "cut off here");
        fs.truncateSync(join(folder, "cut"), 3);
        await Deno.writeTextFile(join(folder, "unseen"), "by another way");
      },
      info,
      { fs: shortly },
    );
    assert.deepEqual(await verifyCheckpoint(saved.folder), saved);
    assert.deepEqual(Object.entries(saved.files).map(([name, { bytes }]) => [name, bytes]), [
      ["cut", 3],
      ["named", 7],
      ["short", 297],
      ["twice", 6],
      ["unseen", 14],
    ]);
  });
});

Deno.test("what a killed write of a single file left is removed, and nothing else", async () => {
  await withFolder(async (folder) => {
    for (const name of [".config.yaml.123.tmp", ".hidden", "config.yaml", "my.123.tmp"]) {
      await Deno.writeTextFile(join(folder, name), "");
    }
    await cleanTemporaries(folder);
    await cleanTemporaries(join(folder, "absent"));
    assert.deepEqual(namesIn(folder), [".hidden", "config.yaml", "my.123.tmp"]);
  });
});

Deno.test("without its optimizer a checkpoint verifies, is smaller and is no resume point", async () => {
  await withFolder(async (parent) => {
    const first = await saveEpoch(parent, 1, 0);
    const second = await saveEpoch(parent, 2, 0);
    const reduced = await dropOptimizer(second);
    assert.equal(reduced.bytes, second.bytes - 100);
    assert.deepEqual(await verifyCheckpoint(second.folder), reduced);
    assert.deepEqual(namesIn(second.folder), ["manifest.json", "model.safetensors", "trainer_state.json"]);
    assert.deepEqual(await dropOptimizer(reduced), reduced);
    assert.deepEqual(await latestValid(parent), reduced);
    assert.deepEqual(await latestValid(parent, { resumable: true }), first);
  });
});

Deno.test("a removed checkpoint is gone, and removing it again is no error", async () => {
  await withFolder(async (parent) => {
    const { folder } = await saveEpoch(parent, 1, 0);
    await removeCheckpoint(folder);
    await removeCheckpoint(folder);
    assert.deepEqual(namesIn(parent), []);
  });
});
