/**
 * A program: dispatches recorded once, replayed each step. Command buffers are single-use in WebGPU, so what is kept
 * is the flat list of {pipeline, bind group, grid}; replaying it costs about a microsecond per dispatch in JS.
 */
import type { BufferSlice } from "./arena.ts";
import type { Gpu } from "./device.ts";
import type { Kernel, Pipeline } from "./kernel.ts";
import type { Constants } from "./template.ts";

/** One dispatch of a kernel: which buffers stand behind its bindings, its `Dims` values and its grid of workgroups. */
export interface Dispatch {
  readonly kernel: Kernel;
  readonly constants: Constants;
  readonly bindings: Readonly<Record<string, BufferSlice>>;
  readonly dims: Readonly<Record<string, number>>;
  readonly grid: readonly [number, number, number];
}

/** Scalars that change every step: `struct Step` of `kernels/step.wgsl`, in this order. */
export interface StepScalars {
  /** Random seed of the run. */
  readonly seed: number;
  /** Counter of random draws: unique per micro-batch, so that no dropout mask is used twice. */
  readonly draw: number;
  /** Slot of the metrics ring to write. */
  readonly slot: number;
  /** Learning rate × schedule. */
  readonly learningRate: number;
  /** 1 - beta1^t and 1 - beta2^t, computed in double precision. */
  readonly biasCorrection1: number;
  readonly biasCorrection2: number;
  /** Weight of each criteria logit's loss: lambda_class / (number of labels in the whole batch). */
  readonly criteriaScale: number;
  /** Weight of each span's loss: lambda_span / (number of spans in the whole batch). */
  readonly spanScale: number;
}

const STEP_FIELDS: readonly [keyof StepScalars, "u32" | "f32"][] = [
  ["seed", "u32"],
  ["draw", "u32"],
  ["slot", "u32"],
  ["learningRate", "f32"],
  ["biasCorrection1", "f32"],
  ["biasCorrection2", "f32"],
  ["criteriaScale", "f32"],
  ["spanScale", "f32"],
];

/** Steps whose scalars may be in flight at once; a ring, so that writing the next never disturbs the last. */
const RING_SLOTS = 64;
const RING_STRIDE = 256;

/** Bytes of the ring of step scalars. */
export const STEP_RING_BYTES = RING_SLOTS * RING_STRIDE;

/** The uniform ring of step scalars, shared by all programs of a device. */
export interface StepRing {
  readonly bindGroup: GPUBindGroup;
  /** Writes the scalars of the next step and returns their dynamic offset. */
  push(scalars: StepScalars): number;
  destroy(): void;
}

/** Makes the ring of step scalars. */
export function createStepRing(gpu: Gpu): StepRing {
  const buffer = gpu.createBuffer(
    "step ring",
    STEP_RING_BYTES,
    GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
  );
  const bindGroup = gpu.device.createBindGroup({
    label: "step scalars",
    layout: gpu.pipelines.stepLayout,
    entries: [{ binding: 0, resource: { buffer, size: STEP_FIELDS.length * 4 } }],
  });
  let next = 0;
  return {
    bindGroup,
    push(scalars) {
      const words = new DataView(new ArrayBuffer(STEP_FIELDS.length * 4));
      STEP_FIELDS.forEach(([field, type], i) => {
        if (type === "u32") words.setUint32(4 * i, scalars[field], true);
        else words.setFloat32(4 * i, scalars[field], true);
      });
      const offset = next * RING_STRIDE;
      next = (next + 1) % RING_SLOTS;
      gpu.device.queue.writeBuffer(buffer, offset, words);
      return offset;
    },
    destroy: () => gpu.destroyBuffer(buffer),
  };
}

interface Command {
  readonly pipeline: Pipeline;
  readonly bindGroup: GPUBindGroup;
  readonly grid: readonly [number, number, number];
}

/** A recorded program. */
export interface Program {
  readonly label: string;
  readonly dispatches: number;
  /** Bytes of the program's own uniform buffer. */
  readonly uniformBytes: number;
  /**
   * Appends the dispatches to a compute pass, or those from index `first` up to `end` alone; `stepOffset` comes from
   * `StepRing.push`.
   */
  encode(pass: GPUComputePassEncoder, stepOffset: number, first?: number, end?: number): void;
  destroy(): void;
}

/** Names of read-only bindings whose buffer is also bound writable in the same dispatch. */
function promotedBindings(dispatch: Dispatch, access: ReadonlyMap<string, string>): Set<string> {
  const written = new Set<GPUBuffer>();
  for (const [name, slice] of Object.entries(dispatch.bindings)) {
    if (access.get(name) === "read_write") written.add(slice.buffer);
  }
  const promoted = new Set<string>();
  for (const [name, slice] of Object.entries(dispatch.bindings)) {
    if (access.get(name) === "read" && written.has(slice.buffer)) promoted.add(name);
  }
  return promoted;
}

/** Bytes reserved for the `Dims` of a dispatch: the largest has 9 fields, rounded up. */
const DIMS_BYTES = 64;

/** Bytes of the uniform buffer that a program with so many dispatches needs: the part of a plan that no arena holds. */
export function programUniformBytes(gpu: Pick<Gpu, "limits">, dispatches: number): number {
  return Math.max(1, dispatches) * Math.max(DIMS_BYTES, gpu.limits.minUniformBufferOffsetAlignment);
}

/**
 * Compiles dispatches into a program.
 *
 * @throws {TypeError} when a dispatch lacks a binding or a `Dims` value its kernel declares, or exceeds a limit
 */
export function recordProgram(gpu: Gpu, label: string, ring: StepRing, dispatches: readonly Dispatch[]): Program {
  const stride = Math.max(DIMS_BYTES, gpu.limits.minUniformBufferOffsetAlignment);
  const uniformBytes = programUniformBytes(gpu, dispatches.length);
  const uniforms = gpu.createBuffer(`${label} dims`, uniformBytes, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  const dimsData = new DataView(new ArrayBuffer(uniformBytes));
  const commands: Command[] = dispatches.map((dispatch, index) => {
    const where = `${label}, dispatch ${index} (${dispatch.kernel.name})`;
    const access = gpu.pipelines.access(dispatch.kernel, dispatch.constants);
    const pipeline = gpu.pipelines.get(dispatch.kernel, dispatch.constants, promotedBindings(dispatch, access));
    const entries: GPUBindGroupEntry[] = pipeline.module.bindings.map((binding) => {
      const slice = dispatch.bindings[binding.name];
      if (!slice) throw new TypeError(`${where}: expected a buffer for binding "${binding.name}"`);
      if (slice.size > gpu.limits.maxStorageBufferBindingSize) {
        throw new TypeError(
          `${where}: binding "${binding.name}" of ${slice.size} bytes is over the adapter's binding limit of ` +
            `${gpu.limits.maxStorageBufferBindingSize}`,
        );
      }
      return { binding: binding.index, resource: slice };
    });
    if (pipeline.module.dimsIndex >= 0) {
      pipeline.module.dims.forEach((field, i) => {
        const value = dispatch.dims[field.name];
        if (value === undefined) throw new TypeError(`${where}: expected a value for Dims.${field.name}`);
        const at = index * stride + 4 * i;
        if (field.type === "f32") dimsData.setFloat32(at, value, true);
        else dimsData.setUint32(at, value, true);
      });
      const size = Math.ceil(pipeline.module.dims.length / 4) * 16;
      if (size > stride) throw new TypeError(`${where}: Dims of ${size} bytes is over the ${stride} reserved`);
      entries.push({
        binding: pipeline.module.dimsIndex,
        resource: { buffer: uniforms, offset: index * stride, size },
      });
    }
    if (Math.max(...dispatch.grid) > gpu.limits.maxComputeWorkgroupsPerDimension) {
      throw new TypeError(`${where}: grid ${dispatch.grid} is over ${gpu.limits.maxComputeWorkgroupsPerDimension}`);
    }
    const bindGroup = gpu.device.createBindGroup({ label: where, layout: pipeline.layout, entries });
    return { pipeline, bindGroup, grid: dispatch.grid };
  });
  gpu.device.queue.writeBuffer(uniforms, 0, dimsData);
  return {
    label,
    dispatches: commands.length,
    uniformBytes,
    encode(pass, stepOffset, first = 0, end = commands.length) {
      let current: GPUComputePipeline | undefined;
      let stepBound = false;
      for (let i = first; i < end; i++) {
        const { pipeline, bindGroup, grid } = commands[i]!;
        if (pipeline.pipeline !== current) pass.setPipeline(current = pipeline.pipeline);
        pass.setBindGroup(0, bindGroup);
        if (pipeline.module.usesStep && !stepBound) {
          pass.setBindGroup(1, ring.bindGroup, [stepOffset]);
          stepBound = true;
        }
        pass.dispatchWorkgroups(grid[0], grid[1], grid[2]);
      }
    },
    destroy: () => gpu.destroyBuffer(uniforms),
  };
}

/** Sends programs to the GPU one after the other: in one compute pass, or as a profiler does. */
export type ProgramRunner = (programs: readonly Program[], stepOffset: number) => void;

/** Runs programs in one compute pass and one submit. */
export function runInOnePass({ device }: Pick<Gpu, "device">, programs: readonly Program[], stepOffset: number): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const program of programs) program.encode(pass, stepOffset);
  pass.end();
  device.queue.submit([encoder.finish()]);
}
