import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { randomStream } from "../../lib/support/rng.ts";
import { encoderParameters } from "../../lib/model/encoder.ts";
import { checkpointTensors } from "../../lib/train/parameter_arrays.ts";
import { readEncoderConfig } from "../../lib/weights/encoder_config.ts";
import { missing, resolveEncoderNames } from "../../lib/weights/encoder_names.ts";
import { downloadFromHub } from "../../lib/weights/hub.ts";
import { resolvePretrained } from "../../lib/weights/pretrained.ts";
import {
  openSafetensors,
  openSafetensorsFolder,
  type SafetensorsFile,
  writeSafetensors,
} from "../../lib/weights/safetensors.ts";
import { minilmFolder } from "../fixtures/fetch_minilm.ts";
import { askPython } from "../support/python.ts";
import { COMMIT, startHub } from "../support/hub_server.ts";

interface Description {
  metadata: Record<string, string>;
  tensors: Record<string, { shape: number[]; sha256: string }>;
}

function describe(file: SafetensorsFile, names = [...file.tensors.keys()]): Description {
  const tensors = names.map((name) => {
    const sha256 = createHash("sha256").update(new Uint8Array(file.readFloat32(name).buffer)).digest("hex");
    return [name, { shape: [...file.tensors.get(name)!.shape], sha256 }];
  });
  return { metadata: file.metadata, tensors: Object.fromEntries(tensors) };
}

const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));

Deno.test("Python's safetensors reads our files", async () => {
  const path = join(folder, "ours.safetensors");
  const random = randomStream(1, "weights");
  const tensors = [[3, 5], [], [0, 2], [1000]].map((shape, i) => ({
    name: `layer.${i}.wëight`,
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
  }));
  await writeSafetensors(path, tensors, { format: "pt", note: "päper" });
  using file = openSafetensors(path);
  const theirs = await askPython<Description>("weights_safetensors.py", ["read"], { path });
  assert.deepEqual(theirs, describe(file));
});

Deno.test("we read the files of Python's safetensors, in four float types", async () => {
  const path = join(folder, "theirs.safetensors");
  const { metadata, tensors: { ids, ...floats } } = await askPython<Description>("weights_safetensors.py", ["write"], {
    path,
  });
  using file = openSafetensors(path);
  assert.deepEqual(describe(file, Object.keys(floats)), { metadata, tensors: floats });
  assert.deepEqual(file.tensors.get("ids")!.shape, ids!.shape);
});

Deno.test("the MiniLM model: configuration, names, shapes and every value", async () => {
  const { folder: model, revision } = await resolvePretrained(await minilmFolder());
  assert.equal(revision, "local");
  const config = await readEncoderConfig(model);
  assert.deepEqual([config.num_hidden_layers, config.hidden_size, config.hidden_act], [6, 384, "gelu"]);
  using file = openSafetensorsFolder(model);
  const names = resolveEncoderNames(file.tensors.keys(), config.model_type);
  const expected = encoderParameters(config).flatMap(checkpointTensors).map(({ name }) => name);
  assert.equal(missing(names, expected, model), undefined);
  assert.deepEqual(file.tensors.get("embeddings.word_embeddings.weight")!.shape, [
    config.vocab_size,
    config.hidden_size,
  ]);
  const path = join(model, "model.safetensors");
  const { tensors } = await askPython<Description>("weights_safetensors.py", ["read"], { path });
  delete tensors["embeddings.position_ids"]; // whole numbers
  assert.deepEqual(describe(file, Object.keys(tensors)).tensors, tensors);
});

Deno.test("Python's huggingface_hub finds what we put into the shared cache", async () => {
  await using hub = startHub({ "config.json": "{}", "model.safetensors": "w".repeat(500) });
  const cache = join(folder, "cache");
  const env = (name: string) => name === "HF_ENDPOINT" ? hub.url : undefined;
  await downloadFromHub({ repo: "org/name", type: "model", files: () => true, cacheDir: cache, env });
  const found = await askPython("weights_safetensors.py", ["cache"], { cache, repo: "org/name", commit: COMMIT });
  const snapshot = join(cache, "models--org--name", "snapshots", COMMIT);
  assert.deepEqual(found, {
    snapshot,
    config: join(snapshot, "config.json"),
    refs: [["main"]],
    files: ["config.json", "model.safetensors"],
    warnings: [],
  });
});
