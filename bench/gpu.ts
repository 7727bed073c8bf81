/**
 * What a benchmark or kernel test needs of WebGPU below the engine: buffers, and a step {kernel, constants, dims, grid}
 * bound to named buffers.
 */
import type { Gpu } from "../lib/gpu/device.ts";
import type { Kernel, Pipeline } from "../lib/gpu/kernel.ts";
import type { StepScalars } from "../lib/gpu/program.ts";
import { type Constants } from "../lib/gpu/template.ts";

/** The scalars of a step for programs that are no step of training. */
export const SCALARS: StepScalars = {
  seed: 1,
  draw: 0,
  slot: 0,
  learningRate: 0,
  biasCorrection1: 1,
  biasCorrection2: 1,
  criteriaScale: 1,
  spanScale: 1,
};

/** A storage buffer that holds `values`, or as many undefined floats as a number says. */
export function storageBuffer(device: GPUDevice, values: Float32Array<ArrayBuffer> | number): GPUBuffer {
  const length = typeof values === "number" ? values : values.length;
  const buffer = device.createBuffer({
    size: 4 * length,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
  if (typeof values !== "number") device.queue.writeBuffer(buffer, 0, values);
  return buffer;
}

/** A dispatch ready to be encoded. */
export interface BoundStep {
  readonly pipeline: Pipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** Compiles a step and binds its buffers by name. */
export function bindStep(
  { device, pipelines }: Pick<Gpu, "device" | "pipelines">,
  step: {
    readonly kernel: Kernel;
    readonly constants: Constants;
    readonly dims: Readonly<Record<string, number>>;
    readonly grid: readonly [number, number, number];
  },
  buffers: Readonly<Record<string, GPUBuffer>>,
): BoundStep {
  const pipeline = pipelines.get(step.kernel, step.constants, new Set());
  const { bindings, dims, dimsIndex } = pipeline.module;
  const entries: GPUBindGroupEntry[] = bindings.map(({ name, index }) => {
    const buffer = buffers[name];
    if (!buffer) throw new ReferenceError(`Kernel ${step.kernel.name}: expected a buffer for "${name}"`);
    return { binding: index, resource: { buffer } };
  });
  const uniform = device.createBuffer({ size: 32, usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST });
  device.queue.writeBuffer(uniform, 0, Uint32Array.from(dims, ({ name }) => step.dims[name]!));
  entries.push({ binding: dimsIndex, resource: { buffer: uniform } });
  return { pipeline, bindGroup: device.createBindGroup({ layout: pipeline.layout, entries }), grid: step.grid };
}

/** Encodes steps into a compute pass. */
export function encodeSteps(pass: GPUComputePassEncoder, steps: readonly BoundStep[]): void {
  for (const { pipeline, bindGroup, grid } of steps) {
    pass.setPipeline(pipeline.pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(...grid);
  }
}

/** The floats of a buffer, awaited. */
export async function readBuffer(device: GPUDevice, buffer: GPUBuffer): Promise<Float32Array<ArrayBuffer>> {
  const staging = device.createBuffer({ size: buffer.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const values = new Float32Array(staging.getMappedRange().slice(0));
  staging.unmap();
  staging.destroy();
  return values;
}
