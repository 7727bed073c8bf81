/**
 * The CRF against the package pytorch-crf (`tests/peers/golden_crf.py`) and against enumeration of all tag paths, in
 * every variant of the kernels.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { crfDecode, crfLoss } from "../../lib/graph/ops/crf.ts";
import type { Target } from "../../lib/graph/graph.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { type GoldenTensor, largestDifference, readGolden, readGoldenJson } from "../support/golden.ts";
import { activation, constant, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";

const gpu = await openGpu();
const golden = readGolden("crf");
const sum = (values: ArrayLike<number>) => Array.from(values).reduce((total, value) => total + value, 0);

interface CrfInputs {
  readonly emissions: GoldenTensor;
  readonly crf: GoldenTensor;
  readonly tags: GoldenTensor;
  readonly limits: GoldenTensor;
  readonly weight: GoldenTensor;
}

/** Loss and derivatives; the gradient of the scores is added to the gradient arena as a model's would be. */
async function runLoss(
  { emissions, crf, tags, limits, weight }: CrfInputs,
  target: Partial<Target>,
  spanScale = 1 / Math.max(1, sum(weight.data)),
) {
  const words = ({ shape, data }: GoldenTensor) => constant(shape, Uint32Array.from(data));
  const { outputs } = await runGraph(
    gpu,
    {
      inputs: {
        emissions: activation(emissions.shape, emissions.data),
        crf: parameter(crf.shape, crf.data),
        tags: words(tags),
        limits: words(limits),
        weight: constant(weight.shape, weight.data),
      },
      build: (g, t) => {
        const { items, dlogits, dcrf } = crfLoss(g, t);
        return { outputs: { items, dlogits, dcrf: dcrf(undefined), ...crfDecode(g, t) } };
      },
    },
    target,
    { spanScale },
  );
  return { ...outputs, tags: new Uint32Array(outputs.tags.buffer) };
}

for (const [variant, target] of Object.entries(VARIANTS)) {
  for (const { name, float32Error = 0 } of readGoldenJson("crf").cases as { name: string; float32Error?: number }[]) {
    Deno.test(`CRF ${name} equals pytorch-crf (${variant})`, async () => {
      const get = (tensor: string) => golden.get(`${name}.${tensor}`)!;
      const names = ["emissions", "crf", "tags", "limits", "weight"] as const;
      const inputs = Object.fromEntries(names.map((tensor) => [tensor, get(tensor)])) as unknown as CrfInputs;
      const { items, dlogits, dcrf, tags, margin } = await runLoss(inputs, target);
      const tolerance = Math.max(1e-5, 4 * float32Error);
      for (
        const [tensor, actual] of [["y", [sum(items)]], ["demissions", dlogits], ["dcrf", dcrf], [
          "margin",
          margin,
        ]] as const
      ) {
        const expected = get(tensor).data;
        const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const difference = largestDifference(actual, expected);
        assert.ok(difference <= tolerance * largest, `${tensor} differs by ${difference}, its largest is ${largest}`);
      }
      assert.deepEqual([...tags], [...get("best").data]);
    });
  }
}

/** All tag paths of a length. */
function paths(length: number): number[][] {
  return length === 0 ? [[]] : paths(length - 1).flatMap((path) => [0, 1, 2].map((tag) => [...path, tag]));
}

Deno.test("CRF: likelihood, marginals and best path equal enumeration over 40 random sequences", async () => {
  const random = randomStream(3, "crf");
  const B = 40, T = 5;
  const normal = (count: number) => Float32Array.from({ length: count }, () => 2 * random.normal());
  const emissions = normal(B * T * 3), crf = normal(15);
  const limits = Uint32Array.from({ length: B }, () => 1 + random.integer(T));
  const gold = Uint32Array.from({ length: B * T }, () => random.integer(3));
  const found = await runLoss(
    {
      emissions: { shape: [B, T, 3], data: emissions },
      crf: { shape: [1, 15], data: crf },
      tags: { shape: [B, T, 1], data: Float32Array.from(gold) },
      limits: { shape: [B], data: Float32Array.from(limits) },
      weight: { shape: [B, 1], data: new Float32Array(B).fill(1) },
    },
    {},
    1,
  );
  const dcrf = new Float64Array(15);
  for (let b = 0; b < B; b++) {
    const length = limits[b]!;
    const score = (path: number[]) =>
      path.reduce(
        (total, tag, t) =>
          total + emissions[(b * T + t) * 3 + tag]! + (t === 0 ? crf[9 + tag]! : crf[3 * path[t - 1]! + tag]!),
        crf[12 + path.at(-1)!]!,
      );
    const all = paths(length).map((path) => ({ path, score: score(path) }));
    const total = Math.log(all.reduce((sum, { score }) => sum + Math.exp(score), 0));
    const target = [...gold.subarray(b * T, b * T + length)];
    const loss = total - score(target);
    assert.ok(Math.abs(found.items[b]! - loss) < 1e-5 * Math.max(1, loss), `loss of ${b}`);
    const best = all.reduce((most, one) => one.score > most.score ? one : most);
    assert.deepEqual([...found.tags.subarray(b * T, b * T + length)], best.path);
    const lead = best.score - score(new Array(length).fill(0));
    assert.ok(Math.abs(found.margin[b]! - lead) < 1e-5 * Math.max(1, lead), `margin of ${b}`);
    for (const { path, score } of [...all, { path: target, score: NaN }]) {
      const share = Number.isNaN(score) ? -1 : Math.exp(score - total);
      dcrf[9 + path[0]!]! += share;
      dcrf[12 + path.at(-1)!]! += share;
      for (let t = 1; t < length; t++) dcrf[3 * path[t - 1]! + path[t]!]! += share;
    }
    for (let t = 0; t < length; t++) {
      for (let tag = 0; tag < 3; tag++) {
        const marginal = all.filter(({ path }) => path[t] === tag)
          .reduce((sum, { score }) => sum + Math.exp(score - total), 0);
        const expected = marginal - (target[t] === tag ? 1 : 0);
        assert.ok(
          Math.abs(found.dlogits[(b * T + t) * 3 + tag]! - expected) < 1e-5,
          `derivative at ${b}, ${t}, ${tag}`,
        );
      }
    }
  }
  assert.ok(largestDifference(found.dcrf, dcrf) < 1e-4, "derivative of the scores");
});
