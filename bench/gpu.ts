/**
 * What a benchmark or kernel test needs of WebGPU below the engine: a device whose errors are loud, buffers, and a step
 * {kernel, constants, dims, grid} bound to named buffers.
 */
import { createPipelineCache, type Kernel, type Pipeline, type PipelineCache } from "../lib/gpu/kernel.ts";
import { type Constants } from "../lib/gpu/template.ts";

/** A device with its pipelines and the first error it reported. */
export interface BenchDevice {
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  readonly pipelines: PipelineCache;
  /** Throws when the device has reported an error, which WebGPU does asynchronously. */
  check(): void;
}

/** Opens the first adapter with subgroups and all its limits. */
export async function openBenchDevice(): Promise<BenchDevice> {
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("No WebGPU adapter: install a Vulkan driver, such as Mesa's lavapipe");
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const limit = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof limit === "number") requiredLimits[name] = limit;
  }
  // Deno accepts this feature although it does not list it.
  const requiredFeatures = ["subgroups"] as unknown as GPUFeatureName[];
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  let failure: string | undefined;
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    failure ??= (event as GPUUncapturedErrorEvent).error.message;
  });
  return {
    adapter,
    device,
    pipelines: createPipelineCache(device),
    check() {
      if (failure !== undefined) throw new Error(failure);
    },
  };
}

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
  { device, pipelines }: BenchDevice,
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
