/**
 * Every optimizer over five steps against torch.optim and lion-pytorch in float64 (`tests/peers/golden_optimizers.py`):
 * groups with their own rates, clipping, a frozen parameter and the moving average, in every variant of the kernels.
 */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import type { OptimizerName } from "../../lib/graph/optimizer.ts";
import { readGolden, readGoldenJson, relativeDifference } from "../support/golden.ts";
import { VARIANTS } from "../support/graph_runner.ts";
import { type OptimizedParameter, runOptimizer } from "../support/optimizer_runner.ts";

interface OptimizerCase {
  readonly name: OptimizerName;
  readonly learningRates: number[];
  readonly weightDecay: number;
  readonly clip: number;
  readonly averageDecay: number;
  readonly betas: [number, number];
  readonly eps: number;
  readonly parameters: Record<string, { decay: boolean; scale: number; trained: boolean }>;
}

const gpu = await openGpu();
const golden = readGolden("optimizers");
const cases = readGoldenJson("optimizers").cases as OptimizerCase[];

for (const [variant, target] of Object.entries(VARIANTS)) {
  for (const { name: optimizer, learningRates, weightDecay, clip, averageDecay, betas, eps, parameters } of cases) {
    Deno.test(`${optimizer} equals PyTorch over five steps (${variant})`, async () => {
      const get = (tensor: string) => golden.get(`${optimizer}.${tensor}`)!;
      const names = Object.keys(parameters);
      const row = (tensor: string, step: number) => {
        const { shape: [steps], data } = get(tensor);
        const width = data.length / steps!;
        return data.slice(step * width, (step + 1) * width);
      };
      const steps = await runOptimizer(
        gpu,
        Object.fromEntries(names.map((name): [string, OptimizedParameter] => {
          const { decay, scale, trained } = parameters[name]!;
          const { shape, data } = get(`start.${name}`);
          return [name, { shape, decay, trained, learningRateScale: scale, initial: data }];
        })),
        {
          name: optimizer,
          weightDecay,
          beta1: betas[0],
          beta2: betas[1],
          epsilon: eps,
          maxGradNorm: clip,
          averageDecay,
        },
        learningRates.map((learningRate, step) => ({
          learningRate,
          gradients: Object.fromEntries(
            names.filter((name) => parameters[name]!.trained).map((name) => [name, row(`gradient.${name}`, step)]),
          ),
        })),
        target.maxBindingBytes ? { ...target, maxBindingBytes: 256 } : target,
      );
      steps.forEach(({ norm, arrays }, step) => {
        assert.ok(Math.abs(norm - get("norm").data[step]!) < 1e-5 * norm, `norm of step ${step + 1}`);
        for (const name of names) {
          const { parameter, gradient, average } = arrays[name]!;
          const after = relativeDifference(parameter, row(name, step));
          assert.ok(after < 1e-6, `${name} differs by ${after} after step ${step + 1}`);
          if (!parameters[name]!.trained) {
            assert.deepEqual(parameter, get(`start.${name}`).data, "what is frozen stays as it was");
            continue;
          }
          assert.ok(gradient.every((value) => value === 0), `gradient of ${name}`);
          const shadow = relativeDifference(average, row(`average.${name}`, step));
          assert.ok(shadow < 1e-6, `average of ${name} differs by ${shadow} after step ${step + 1}`);
        }
      });
    });
  }
}
