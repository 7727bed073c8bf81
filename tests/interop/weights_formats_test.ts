import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { openTorch } from "../../lib/weights/torch_pickle.ts";
import { openWeights, type WeightsFile } from "../../lib/weights/weights_file.ts";
import { askPython } from "../support/python.ts";
import { assertMemory, assertRefused, inFolder } from "../support/weights_checks.ts";

type Tensors = Record<string, { shape: number[]; sha256: string }>;

function describe(file: WeightsFile, names: Iterable<string> = file.tensors.keys()): Tensors {
  return Object.fromEntries([...names].map((name) => {
    const sha256 = createHash("sha256").update(new Uint8Array(file.readFloat32(name).buffer)).digest("hex");
    return [name, { shape: [...file.tensors.get(name)!.shape], sha256 }];
  }));
}

Deno.test("BERT, RoBERTa and DistilBERT have the bytes that Python has, in all formats, types and shards", async (t) => {
  await inFolder(async (folder) => {
    const cases = await askPython<Record<string, Record<string, Tensors>>>("weights_formats.py", ["models"], {
      folder,
    });
    assert.equal(Object.keys(cases).length, 9);
    for (const [model, formats] of Object.entries(cases)) {
      await t.step(model, () => {
        assert.equal(Object.keys(formats).length, 6);
        const type = { float32: "F32", float16: "F16", bfloat16: "BF16" }[model.split("-")[1]!]!;
        for (const [format, expected] of Object.entries(formats)) {
          assert.ok(Object.keys(expected).length > 30, format);
          using weights = openWeights(join(folder, model, format));
          assert.deepEqual(describe(weights), expected, `${model} ${format}`);
          assert.ok(weights.tensors.values().every(({ dtype }) => dtype === type), format);
        }
      });
    }
  });
});

Deno.test("views, tied tensors, protocols and checkpoints of torch.save have the bytes that PyTorch has", async (t) => {
  await inFolder(async (folder) => {
    const files = await askPython<Record<string, Tensors>>("weights_formats.py", ["torch"], { folder });
    for (const [name, expected] of Object.entries(files)) {
      await t.step(name, () => {
        using file = openTorch(join(folder, name));
        assert.deepEqual(describe(file, Object.keys(expected)), expected);
        const others = [...file.tensors].filter(([name]) => !Object.hasOwn(expected, name));
        if (name.startsWith("protocol")) {
          assert.deepEqual(others.map(([name, { dtype, shape }]) => [name, dtype, shape]), [
            ["long", "I64", [1, 5]],
            ["bool", "BOOL", [1]],
            ["small", "U16", []],
          ]);
        }
      });
    }
  });
});

Deno.test("files of PyTorch that are not read are refused with the reason", async (t) => {
  await inFolder(async (folder) => {
    const files = await askPython<Record<string, string>>("weights_formats.py", ["refused"], { folder });
    for (const [name, reason] of Object.entries(files)) {
      await t.step(name, () => {
        const words = new RegExp(RegExp.escape(reason));
        assertMemory(100, () => assertRefused(() => openTorch(join(folder, name)).close(), words));
      });
    }
  });
});

Deno.test("pickles that run commands in Python are refused by name, and run nothing", async (t) => {
  await inFolder(async (folder) => {
    const marker = join(folder, "marker");
    const files = await askPython<Record<string, string>>("weights_formats.py", ["malicious"], { folder, marker });
    assert.equal(Object.keys(files).length, 10 + 6 * 6);
    for (const [name, global] of Object.entries(files)) {
      await t.step(name, () => {
        assertRefused(
          () => openTorch(join(folder, name)).close(),
          new RegExp(`names "${RegExp.escape(global)}", which`),
        );
        assert.throws(() => Deno.statSync(marker), Deno.errors.NotFound);
      });
    }
  });
});
