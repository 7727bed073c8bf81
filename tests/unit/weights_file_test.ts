import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { openWeights } from "../../lib/weights/weights_file.ts";
import { arrayOf, msgpack } from "../support/flax_files.ts";
import { pickle, tensorOf, torchArchive } from "../support/torch_archives.ts";
import { assertRefused, inFolder } from "../support/weights_checks.ts";

type Weights = Record<string, number>;

const torchFile = (weights: Weights) =>
  torchArchive(
    pickle.dict(Object.fromEntries(
      Object.keys(weights).map((name, i) => [name, tensorOf({ storage: `${i}`, count: 1, shape: [1], strides: [1] })]),
    )),
    Object.fromEntries(Object.values(weights).map((value, i) => [`${i}`, Float32Array.of(value)])),
  );

/** Names with dots become nested maps; "weight" at the end a "kernel" of two dimensions. */
function flaxFile(weights: Weights): Uint8Array {
  return msgpack.map(
    Object.entries(weights).map(([name, value]) => {
      const [outer, inner] = name.split(".") as [string, string?];
      const leaf = (shape: number[]) => arrayOf(shape, Float32Array.of(value));
      return [outer, inner === undefined ? leaf([1]) : msgpack.map([["kernel", leaf([1, 1])]])];
    }),
  );
}

/** Writes a file of each format. */
const FORMATS: Record<string, { file: string; write: (path: string, weights: Weights) => Promise<void> | void }> = {
  safetensors: {
    file: "model.safetensors",
    write: (path, weights) =>
      writeSafetensors(
        path,
        Object.entries(weights).map(([name, value]) => ({ name, shape: [1], data: Float32Array.of(value) })),
      ),
  },
  PyTorch: {
    file: "pytorch_model.bin",
    write: (path, weights) => Deno.writeFileSync(path, torchFile(weights)),
  },
  Flax: { file: "flax_model.msgpack", write: (path, weights) => Deno.writeFileSync(path, flaxFile(weights)) },
};

Deno.test("safetensors comes before PyTorch, that before Flax, and one file before shards", () =>
  inFolder(async (folder) => {
    assertRefused(
      () => openWeights(folder),
      /has no weights: none of model\.safetensors, model\.safetensors\.index\.json, pytorch_model\.bin, pytorch_model\.bin\.index\.json, flax_model\.msgpack, flax_model\.msgpack\.index\.json$/,
    );
    const found = () => {
      using weights = openWeights(folder);
      return weights.readFloat32("a")[0];
    };
    for (const [rank, { file, write }] of Object.values(FORMATS).reverse().entries()) {
      await write(join(folder, `shard-${file}`), { a: 10 * rank + 1 });
      await Deno.writeTextFile(join(folder, `${file}.index.json`), `{"weight_map":{"a":"shard-${file}"}}`);
      assert.equal(found(), 10 * rank + 1);
      await write(join(folder, file), { a: 10 * rank + 2 });
      assert.equal(found(), 10 * rank + 2);
    }
  }));

for (const [format, { file, write }] of Object.entries(FORMATS)) {
  Deno.test(`${format}: shards read as one model; an index that lies is refused`, async (t) => {
    await inFolder(async (folder) => {
      const entry = (name: string) => format === "Flax" ? name.replace(/^d\.weight$/, "d/kernel") : name;
      const index = (map: Record<string, string>) => {
        const entries = Object.entries(map).map(([name, shard]) => [entry(name), shard]);
        const weight_map = Object.fromEntries(entries);
        Deno.writeTextFileSync(join(folder, `${file}.index.json`), JSON.stringify({ metadata: {}, weight_map }));
      };
      await write(join(folder, `1-${file}`), { a: 1, b: 2 });
      await write(join(folder, `2-${file}`), { c: 3, "d.weight": 4 });
      await write(join(folder, `3-${file}`), { a: 5 });
      const sound = { c: `2-${file}`, "d.weight": `2-${file}`, a: `1-${file}`, b: `1-${file}` };
      await t.step("sound", () => {
        index(sound);
        using weights = openWeights(folder);
        assert.deepEqual([...weights.tensors.keys()], ["c", "d.weight", "a", "b"]);
        assert.deepEqual(["a", "b", "c", "d.weight"].map((name) => weights.readFloat32(name)[0]), [1, 2, 3, 4]);
        assertRefused(() => weights.readFloat32("constructor"), /no tensor "constructor"/);
        weights.close();
      });
      const lies: [name: string, map: Record<string, string>, message: RegExp][] = [
        ["a tensor that the shard lacks", { ...sound, e: `1-${file}` }, /says that "e" is in 1-.*, which lacks it/],
        ["a tensor of another shard", { ...sound, b: `2-${file}` }, /says that "b" is in 2-.*, which lacks it/],
        ["a tensor in two shards", { ...sound, x: `3-${file}` }, /"a" is in two shards of .*: 1-.* and 3-/],
        ["a missing shard", { ...sound, e: `4-${file}` }, /There is no file .*4-/],
        ["a shard outside", { a: `../1-${file}` }, /names the shard "\.\.\//],
        ["a shard in a folder", { a: `x\\1-${file}` }, /names the shard "x/],
        ["an absolute shard", { a: join(folder, `1-${file}`) }, /names the shard "\//],
        ["the folder for a shard", { a: "." }, /is not a file/],
        ["no name", { a: "" }, /names the shard ""/],
        ["a NUL in a name", { a: "a\0b" }, /names the shard "a\\u0000b"/],
      ];
      for (const [name, map, message] of lies) {
        await t.step(name, () => {
          index(map);
          assertRefused(() => openWeights(folder).close(), message);
        });
      }
      await t.step("an index that is none", () => {
        for (const text of ["", "[]", "null", '{"weight_map":[]}', '{"weight_map":{"a":1}}', "[".repeat(1e5)]) {
          Deno.writeTextFileSync(join(folder, `${file}.index.json`), text);
          assertRefused(() => openWeights(folder), /not an index of weights/);
        }
        Deno.writeTextFileSync(join(folder, `${file}.index.json`), `[${"[],".repeat(2e6)}[]]`);
        assertRefused(() => openWeights(folder), /not an index of weights/);
        Deno.truncateSync(join(folder, `${file}.index.json`), 33 * 2 ** 20);
        assertRefused(() => openWeights(folder), /too many for an index/);
      });
    });
  });

  Deno.test(`${format}: what is no file of weights is told from a damaged one`, () =>
    inFolder(async (folder) => {
      const path = join(folder, file);
      const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 440473133\n";
      await Deno.writeTextFile(path, pointer);
      assertRefused(() => openWeights(folder), /only the note that Git LFS puts in their place/);
      await Deno.remove(path);
      await new Deno.Command("mkfifo", { args: [path] }).output();
      assertRefused(() => openWeights(folder), /has no weights/); // and does not wait for a writer
    }));
}
