/**
 * The tuner of matrix products: what it may choose gives the same bits, what is wrong is left out, what was found is kept;
 * and a study whose cache changes half-way ends as one whose cache did not.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { loadConfig } from "../../lib/config/compose.ts";
import { openGpu } from "../../lib/gpu/device.ts";
import { gemmDispatch, type GemmRequest } from "../../lib/gpu/gemm.ts";
import { type GemmVariant, TILED_VARIANT_NAMES } from "../../lib/gpu/gemm_variants.ts";
import { candidatesChecksum, gemmCandidates, tunedRequest, tuneGemm, tuningKey } from "../../lib/gpu/tune.ts";
import { createAutotuner, isAutotuned, plannedProducts } from "../../lib/study/autotune.ts";
import { openContext } from "../../lib/study/context.ts";
import { engineOptions } from "../../lib/study/trial_context.ts";
import { planEngine } from "../../lib/train/engine_plan.ts";
import { openTuneCache, tuneCacheFolder, tunedAdapter } from "../../lib/study/tune_cache.ts";
import { loggedEvents, resultOf, ROOT, runCommand, startCommand, TINY, withFolder } from "../support/commands.ts";
import { variantsInTurn } from "../support/graph_runner.ts";
import { openSmall, planSmall, randomBatch, readArray, stepOptions } from "../support/small_engine.ts";

const gpu = await openGpu();
const { subgroupSize } = gpu;
const SIGNAL = new AbortController().signal;

/** Quick to compile and to run. */
const PRODUCT: GemmRequest = {
  layout: "tn",
  m: 32,
  n: 64,
  k: 100,
  epilogue: "accumulate",
  preset: "tiled",
  subgroupSize,
};
const SOME: GemmVariant[] = ["64x64 by 4x4, depth 32", "64x64 by 8x4, depth 16", "64x64 by 8x8, depth 8"];

Deno.test("tuneGemm() times every right variant, chooses the fastest by its median and frees what it took", async () => {
  for (const preset of ["tiled", "broadcast"] as const) {
    const request: GemmRequest = preset === "tiled"
      ? { ...PRODUCT, layout: "nn", m: 45, n: 64, k: 32, epilogue: "dgelu_erf", preset, half: ["c", "aux"] }
      : { ...PRODUCT, layout: "nt", m: 45, n: 128, k: 64, epilogue: "bias_gelu_erf", preset, half: ["c", "aux"] };
    if (preset === "broadcast" && gpu.preset !== "broadcast") continue;
    const before = gpu.allocatedBytes;
    const candidates = preset === "tiled" ? SOME.slice(0, 2) : gemmCandidates(gpu, request);
    const { variant, microseconds, dropped } = await tuneGemm(gpu, request, candidates);
    assert.deepEqual([Object.keys(microseconds), dropped], [candidates, {}]);
    const middle = (name: GemmVariant) => microseconds[name]!.toSorted((x, y) => x - y)[2]!;
    for (const name of candidates) {
      assert.equal(microseconds[name]!.length, 5);
      assert.ok(microseconds[name]!.every((time) => time > 0), `${name}: ${microseconds[name]}`);
      assert.ok(middle(variant!) <= middle(name));
    }
    assert.equal(gpu.allocatedBytes, before);
  }
});

Deno.test("tuneGemm() leaves out variants with wrong numbers, and right ones with other bits", async () => {
  const wrong = (request: GemmRequest) => {
    const plan = gemmDispatch(request);
    if (request.variant === SOME[1]) return { ...plan, dims: { ...plan.dims, rows: plan.dims["rows"]! - 1 } };
    return request.variant === SOME[2] ? gemmDispatch({ ...request, splits: 2 }) : plan;
  };
  const { variant, microseconds, dropped } = await tuneGemm(gpu, PRODUCT, SOME, wrong);
  assert.equal(variant, SOME[0]);
  assert.deepEqual(Object.keys(microseconds), [SOME[0]]);
  assert.match(dropped[SOME[1] as keyof typeof dropped]!, /^-?[\d.]+ where the plain kernel gives -?[\d.]+$/);
  assert.equal(dropped[SOME[2] as keyof typeof dropped], `other bits than "${SOME[0]}"`);

  const empty = await tuneGemm(
    gpu,
    PRODUCT,
    SOME.slice(0, 1),
    (request) => ({ ...gemmDispatch(request), grid: [0, 0, 0] }),
  );
  assert.equal(empty.variant, undefined);
  assert.match(Object.values(empty.dropped).join(), /^NaN where|^-?[\d.e-]+ where the plain kernel gives/);
});

Deno.test("products share a choice by layout, weights, epilogue, storage and tokens up to a power of two", () => {
  const request: GemmRequest = { ...PRODUCT, layout: "nt", m: 900, n: 768, k: 768, epilogue: "bias" };
  assert.equal(tuningKey(request), "nt 1021x768x768 bias");
  assert.equal(tuningKey({ ...request, m: 1024 }), tuningKey(request));
  assert.notEqual(tuningKey({ ...request, m: 1025 }), tuningKey(request));
  assert.equal(tuningKey({ ...request, half: ["c", "a"] }), "nt 1021x768x768 bias 16 bits a,c");
  // At most 2^33 operations.
  assert.equal(tunedRequest({ ...request, m: 1e6, n: 3072 }).m, 1021);
  assert.equal(tunedRequest({ ...request, m: 1e6, n: 4, k: 4 }).m, 8189);
  assert.equal(tunedRequest({ ...request, layout: "tn", k: 5 }).k, 8);
});

Deno.test("candidates are those that the adapter can run; there are none without timestamps or for odd sizes", () => {
  assert.deepEqual(gemmCandidates(gpu, PRODUCT), TILED_VARIANT_NAMES);
  const small = { maxComputeInvocationsPerWorkgroup: 128, maxComputeWorkgroupStorageSize: 1e5 };
  const limits = { ...small, maxStorageBufferBindingSize: 1e9 } as GPUSupportedLimits;
  assert.deepEqual(gemmCandidates({ ...gpu, limits }, PRODUCT), [
    "64x128 by 8x8, depth 16",
    "64x64 by 8x4, depth 16",
    "64x64 by 8x8, depth 8",
  ]);
  assert.deepEqual(gemmCandidates({ ...gpu, features: new Set() }, PRODUCT), []);
  assert.deepEqual(gemmCandidates(gpu, { ...PRODUCT, n: 9 }), []);
});

Deno.test("auto tries on GPUs with timestamps alone", () => {
  const adapter = {
    name: "a GPU",
    preset: "tiled",
    isSoftware: false,
    features: new Set(["timestamp-query"]),
  } as const;
  const isOn = (autotune: "auto" | "on" | "off", changes: Partial<Parameters<typeof isAutotuned>[1]> = {}) =>
    isAutotuned({ gpu: { autotune, preset: "auto", memory_limit_gb: null } }, { ...adapter, ...changes });
  assert.ok(isOn("auto") && isOn("on") && !isOn("off"));
  assert.ok(!isOn("auto", { isSoftware: true }) && isOn("on", { isSoftware: true }));
  assert.ok(!isOn("auto", { features: new Set() }));
  assert.throws(
    () => isOn("on", { features: new Set() }),
    /gpu\.autotune=on needs timestamp queries, which a GPU lacks/,
  );
});

Deno.test("what was found is kept with all its times, and tried anew where the kernels or the file are others", async () => {
  await withFolder(async (folder) => {
    const adapter = tunedAdapter(gpu);
    const candidates = gemmCandidates(gpu, PRODUCT);
    const checksum = candidatesChecksum(PRODUCT, candidates), key = tuningKey(PRODUCT);
    const tuned = async () => {
      const cache = await openTuneCache(join(folder, "deep", "gemm"), adapter);
      const tuner = createAutotuner(gpu, cache);
      const known = tuner.variantOf(PRODUCT);
      const keys: string[] = [], counts: number[] = [];
      const tried = await tuner.tune([PRODUCT, { ...PRODUCT, k: 99 }], SIGNAL, {
        onStart: (count) => counts.push(count),
        onTuned: (key) => keys.push(key),
      });
      assert.deepEqual([keys, counts], tried ? [[key], [1]] : [[], []]);
      assert.ok(candidates.includes(tuner.variantOf(PRODUCT)!));
      return { tried, known, path: cache.path };
    };
    const first = await tuned();
    assert.deepEqual([first.tried, first.known], [true, undefined]);
    const stored = JSON.parse(Deno.readTextFileSync(first.path));
    assert.deepEqual(stored.adapter, adapter);
    assert.deepEqual([Object.keys(stored.products), stored.products[key].checksum], [[key], checksum]);
    assert.deepEqual(Object.keys(stored.products[key].microseconds), candidates);

    const write = (product: object) =>
      Deno.writeTextFileSync(first.path, JSON.stringify({ ...stored, products: { [key]: product } }));
    write({ ...stored.products[key], variant: candidates[3] });
    assert.deepEqual(await tuned(), { tried: false, known: candidates[3], path: first.path });
    write({ ...stored.products[key], checksum: "of other kernels" });
    assert.deepEqual([(await tuned()).tried, (await tuned()).tried], [true, false]);
    Deno.writeTextFileSync(first.path, Deno.readTextFileSync(first.path).slice(0, -100));
    assert.deepEqual([(await tuned()).tried, (await tuned()).tried], [true, false]);
    // Another adapter's file under this one's name.
    Deno.writeTextFileSync(first.path, JSON.stringify({ ...stored, adapter: { ...adapter, driver: "another" } }));
    assert.equal((await tuned()).tried, true);
  });
});

Deno.test("what was tried before an interruption is kept", async () => {
  await withFolder(async (folder) => {
    const cache = () => openTuneCache(folder, tunedAdapter(gpu));
    const controller = new AbortController();
    const other = { ...PRODUCT, k: 10 };
    const tuning = createAutotuner(gpu, await cache()).tune([PRODUCT, other], controller.signal, {
      onTuned: () => controller.abort(),
    });
    await assert.rejects(tuning, { name: "AbortError" });
    const next = createAutotuner(gpu, await cache());
    assert.notEqual(next.variantOf(PRODUCT), undefined);
    assert.equal(next.variantOf(other), undefined);
  });
});

Deno.test("a cache that cannot be written is a warning", async () => {
  await withFolder(async (folder) => {
    const file = join(folder, "file");
    Deno.writeTextFileSync(file, "");
    const warnings: string[] = [];
    const tuner = createAutotuner(gpu, await openTuneCache(join(file, "gemm"), tunedAdapter(gpu)));
    assert.equal(await tuner.tune([PRODUCT], SIGNAL, { onWarning: (message) => warnings.push(message) }), true);
    assert.match(warnings.join("\n"), /^what was found of matrix products is not kept for the next study: .*file/);
    assert.notEqual(tuner.variantOf(PRODUCT), undefined);
  });
});

Deno.test("the cache lies in XDG_CACHE_HOME, else in ~/.cache, else nowhere", () => {
  const of = (env: Record<string, string>) => tuneCacheFolder((name) => env[name]);
  assert.equal(of({ XDG_CACHE_HOME: "/c", HOME: "/h" }), join("/c", "winnow", "gemm"));
  assert.equal(of({ HOME: "/h" }), join("/h", ".cache", "winnow", "gemm"));
  assert.equal(of({}), undefined);
});

Deno.test("training has the same bits whatever variants its products run", async () => {
  const trained = async (variantOf: ReturnType<typeof variantsInTurn> | undefined) => {
    const engine = await openSmall(gpu, { dropout: 0.1, lengths: [13], target: { preset: "tiled", variantOf } });
    try {
      const batch = randomBatch("a", { length: 13 });
      for (let step = 1; step <= 2; step++) engine.step([batch], stepOptions(step));
      await engine.drain();
      const values = await readArray(engine, "parameter");
      const hash = createHash("sha256");
      for (const value of values.values()) {
        assert.ok(value.every(Number.isFinite));
        hash.update(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      }
      return hash.digest("hex");
    } finally {
      engine.close();
    }
  };
  const untried = await trained(undefined);
  assert.equal(await trained(variantsInTurn(2)), untried);
  const products = plannedProducts(planSmall(gpu, { lengths: [13], target: { preset: "tiled" } }));
  for (const layout of ["nt", "nn", "tn"]) assert.ok(products.some((one) => one.layout === layout), layout);
});

Deno.test("a study whose cache changes while it is interrupted ends in the bits of one without a tuner", async () => {
  if (gpu.preset !== "broadcast") return; // Quick to compile; a GPU's own variants are compared above.
  await withFolder(async (folder) => {
    const settings = [...TINY, "training.batch_size=2", "training.log_every=1"];
    const started = (name: string, autotune: string) => [
      ...["--mode", "single", "--json", `paths.experiments=${join(folder, name)}`, `gpu.autotune=${autotune}`],
      ...settings,
    ];
    const weights = (name: string) => {
      const saved = [...Deno.readDirSync(join(folder, name))].filter((one) => one.name.startsWith("trial_")).flatMap(
        (one) => {
          const checkpoints = join(folder, name, one.name, "checkpoints");
          return [...Deno.readDirSync(checkpoints)].map((one) => join(checkpoints, one.name, "model.safetensors"));
        },
      );
      assert.ok(saved.length > 0);
      return saved.map((path) => createHash("sha256").update(Deno.readFileSync(path)).digest("hex")).sort();
    };
    const messages = (name: string) => loggedEvents(join(folder, name)).map(({ message }) => message);
    const caches = join(folder, "caches");
    const config = loadConfig({
      file: join(ROOT, "configs", "quickstart.yaml"),
      overrides: [...settings, `paths.experiments=${join(folder, "planned")}`],
    });
    const context = await openContext(config, crypto.randomUUID(), SIGNAL);
    const products = plannedProducts(planEngine(context.gpu, engineOptions(context)));
    /** Makes the cache say that a variant is the fastest of every product. */
    const keep = async (variant: GemmVariant) => {
      const cache = await openTuneCache(tuneCacheFolder(() => caches)!, tunedAdapter(context.gpu));
      for (const request of products) {
        const checksum = candidatesChecksum(request, gemmCandidates(context.gpu, request));
        cache.set(tuningKey(request), { checksum, variant, microseconds: {}, dropped: {} });
      }
      await cache.save();
    };

    await keep("16 rows, 2 subgroups");
    const running = startCommand("train", started("broken", "on"), { XDG_CACHE_HOME: caches });
    await running.until("step 5", () => messages("broken").filter((message) => message === "step").length >= 5);
    running.child.kill("SIGINT");
    assert.equal((await running.done).code, 130);
    await keep("32 rows, 2 subgroups");
    const resumed = ["--json", `paths.experiments=${join(folder, "broken")}`];
    resultOf(await runCommand("resume", resumed, { XDG_CACHE_HOME: caches }));
    assert.ok(!messages("broken").includes("matrix product tuned"), "the cache must have had every product");

    resultOf(await runCommand("train", started("whole", "off")));
    assert.deepEqual(weights("broken"), weights("whole"));
    context.gpu.device.destroy();
  });
});
