import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { WinnowError } from "../../lib/support/errors.ts";
import { openSafetensors, writeSafetensors } from "../../lib/weights/safetensors.ts";

const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const path = join(folder, "model.safetensors");

const tensors = fc.uniqueArray(
  fc.record({
    name: fc.string({ unit: "binary", minLength: 1, maxLength: 20 }).filter((name) => name !== "__metadata__"),
    shape: fc.array(fc.nat(4), { maxLength: 3 }),
  }),
  { selector: (tensor) => tensor.name, maxLength: 6 },
).map((list) =>
  list.map(({ name, shape }, seed) => {
    const length = shape.reduce((product, side) => product * side, 1);
    return { name, shape, data: Float32Array.from({ length }, (_, i) => seed + i / 8) };
  })
);

Deno.test("whatever is written is read back", async () => {
  const metadata = fc.dictionary(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }));
  await fc.assert(fc.asyncProperty(tensors, metadata, async (written, metadata) => {
    await writeSafetensors(path, written, metadata);
    using file = openSafetensors(path);
    assert.deepEqual(Object.entries(file.metadata).sort(), Object.entries(metadata).sort());
    assert.deepEqual(new Set(file.tensors.keys()), new Set(written.map(({ name }) => name)));
    for (const { name, shape, data } of written) {
      assert.deepEqual(file.tensors.get(name)!.shape, shape);
      assert.deepEqual(file.readFloat32(name), data);
    }
  }));
});

Deno.test("a changed or cut file is read or refused, and nothing else happens", async () => {
  await writeSafetensors(path, [
    { name: "a", shape: [2, 3], data: new Float32Array(6) },
    { name: "b", shape: [4], data: new Float32Array(4) },
  ], { format: "pt" });
  const sound = await Deno.readFile(path);
  let refused = 0;
  const changes = fc.array(fc.tuple(fc.nat(sound.length - 1), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(changes, fc.nat(sound.length), (changes, cut) => {
      const bytes = sound.slice(0, cut % 3 === 0 ? cut : sound.length);
      for (const [place, value] of changes) bytes[place % Math.max(1, bytes.length)] = value;
      Deno.writeFileSync(path, bytes);
      try {
        using file = openSafetensors(path);
        for (const [name, { dtype, byteLength }] of file.tensors) {
          if (dtype === "F32") assert.equal(file.readFloat32(name).byteLength, byteLength);
        }
      } catch (error) {
        assert.ok(error instanceof WinnowError && error.kind === "input", String(error));
        refused++;
      }
    }),
    { numRuns: 1000 },
  );
  assert.ok(refused > 100 && refused < 1000, `${refused} of 1000 refused`);
});
