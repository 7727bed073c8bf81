/** The rate of an adapter at fused multiply-adds in registers: what no kernel can exceed. */
import fmaSource from "./fma.wgsl" with { type: "text" };
import type { Gpu } from "../lib/gpu/device.ts";
import { defineKernel } from "../lib/gpu/kernel.ts";
import { type Contender, runsThatTake, timed } from "./contenders.ts";
import { bindStep, encodeSteps, readBuffer, storageBuffer } from "./gpu.ts";

const KERNEL = defineKernel("fma", fmaSource);
const LANES = { f32: 1, vec4f: 4 };
/** Threads: enough for the largest GPU. */
const GROUPS = 2048, THREADS = 64 * GROUPS;
/** Operations of a run, about. */
const FLOPS = 4e9;

/** A form of the kernel. */
export interface FmaForm {
  readonly type: keyof typeof LANES;
  readonly chains: number;
  readonly unroll: number;
}

/** Forms that have been the fastest somewhere; more chains than registers are slow everywhere. */
export const FMA_FORMS: readonly FmaForm[] = [
  ...[8, 10, 12, 14].flatMap((chains) => [8, 16].map((unroll) => ({ type: "f32" as const, chains, unroll }))),
  ...[2, 3, 4, 8].map((chains) => ({ type: "vec4f" as const, chains, unroll: 8 })),
];

const perRound = ({ type, chains, unroll }: FmaForm) => 2 * THREADS * LANES[type] * chains * unroll;
const rounds = (form: FmaForm) => Math.max(1, Math.round(FLOPS / perRound(form)));

/** Floating-point operations of a run of a form. */
export const fmaFlops = (form: FmaForm): number => perRound(form) * rounds(form);

/** A form as a contender. */
export function fma(gpu: Gpu, form: FmaForm): Contender {
  const { device } = gpu;
  const out = storageBuffer(device, THREADS * LANES[form.type]);
  const step = bindStep(gpu, {
    kernel: KERNEL,
    constants: { T: form.type, CHAINS: form.chains, UNROLL: form.unroll },
    dims: { rounds: rounds(form) },
    grid: [GROUPS, 1, 1],
  }, { seed: storageBuffer(device, new Float32Array(16).fill(0.5)), out });
  const token = device.createBuffer({ size: 4, usage: GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST });
  return {
    name: `${form.type} × ${form.chains}, ${form.unroll} per round`,
    async run(count) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (let i = 0; i < count; i++) encodeSteps(pass, [step]);
      pass.end();
      encoder.copyBufferToBuffer(out, 0, token, 0, 4);
      device.queue.submit([encoder.finish()]);
      await readBuffer(device, token);
      gpu.check();
    },
    result: async () => [await readBuffer(device, out)],
  };
}

/** The fastest of the forms, by the best of three short turns of each: by CPU time where the adapter is the processor. */
export async function fastestFma(gpu: Gpu): Promise<FmaForm> {
  let fastest: { form: FmaForm; rate: number } | undefined;
  for (const form of FMA_FORMS) {
    const contender = fma(gpu, form);
    const count = await runsThatTake(contender, 60);
    const times: number[] = [];
    for (let i = 0; i < 3; i++) times.push((await timed(contender, count))[gpu.isSoftware ? "cpu" : "wall"]);
    const rate = count * fmaFlops(form) / Math.min(...times);
    if (!fastest || rate > fastest.rate) fastest = { form, rate };
  }
  return fastest!.form;
}
