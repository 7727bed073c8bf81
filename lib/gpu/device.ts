/**
 * The adapter and device: Vulkan pinned, limits raised to what the adapter has, features asked for one by one since
 * Deno accepts some that it does not list, and validation errors, silent by default in Deno, kept and thrown.
 */
import { inputError, WinnowError } from "../support/errors.ts";
import { createPipelineCache, defineKernel, type PipelineCache } from "./kernel.ts";
import probeSource from "../../kernels/subgroup_probe.wgsl" with { type: "text" };

/** `broadcast`: barrier-free kernels for software Vulkan; `tiled`: workgroup-memory tiles for GPUs. */
export type Preset = "broadcast" | "tiled";

/** An open device and what is known of it. */
export interface Gpu {
  readonly device: GPUDevice;
  /** Adapter description, e.g. `NVIDIA H100 80GB HBM3` or `llvmpipe (LLVM 15.0.6, 256 bits)`. */
  readonly name: string;
  /** The adapter's numbers of vendor and device, e.g. `4318:8982`. */
  readonly adapterId: string;
  /** Whether the adapter is a CPU (lavapipe, SwiftShader): its memory is the machine's. */
  readonly isSoftware: boolean;
  readonly preset: Preset;
  /** Lanes per subgroup when subgroups work as the kernels need (linear lanes, one fixed size), else 0. */
  readonly subgroupSize: number;
  readonly features: ReadonlySet<string>;
  readonly limits: GPUSupportedLimits;
  readonly pipelines: PipelineCache;
  /** Bytes of all buffers made through `createBuffer` and not destroyed. */
  readonly allocatedBytes: number;
  /** A buffer counted in `allocatedBytes`. */
  createBuffer(label: string, size: number, usage: number): GPUBuffer;
  /** Frees a buffer made by `createBuffer`. */
  destroyBuffer(buffer: GPUBuffer): void;
  /** Throws the first validation error or device loss reported since the last call. */
  check(): void;
}

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const satisfies readonly (keyof GPUSupportedLimits)[];

const OPTIONAL_FEATURES = ["subgroups", "shader-f16", "timestamp-query"];

const NO_ADAPTER_REMEDY = "Install a Vulkan driver: on NVIDIA give the container NVIDIA_DRIVER_CAPABILITIES=all and " +
  "the package libvulkan1; without a GPU run `apt-get install libvulkan1 mesa-vulkan-drivers` (lavapipe)";

async function acceptedFeatures(adapter: GPUAdapter): Promise<string[]> {
  const accepted: string[] = [];
  for (const feature of OPTIONAL_FEATURES) {
    try {
      const device = await adapter.requestDevice({ requiredFeatures: [...accepted, feature] as GPUFeatureName[] });
      device.destroy();
      accepted.push(feature);
    } catch { /* the adapter refuses this feature: the kernels have a variant without it */ }
  }
  return accepted;
}

/** The subgroup size when local index = subgroup × size + lane with one size for all, else 0. */
async function probeSubgroups(device: GPUDevice, pipelines: PipelineCache): Promise<number> {
  const threads = 64;
  const { pipeline, layout } = pipelines.get(defineKernel("subgroup_probe", probeSource), {}, new Set());
  const size = threads * 8;
  const out = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
  const read = device.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, device.createBindGroup({ layout, entries: [{ binding: 0, resource: { buffer: out } }] }));
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, read, 0, size);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const words = new Uint32Array(read.getMappedRange().slice(0));
  read.unmap();
  out.destroy();
  read.destroy();
  const subgroupSize = words[0]!;
  for (let thread = 0; thread < threads; thread++) {
    if (words[2 * thread] !== subgroupSize || words[2 * thread + 1] !== thread % subgroupSize) return 0;
  }
  return subgroupSize >= 4 && subgroupSize <= 64 ? subgroupSize : 0;
}

/**
 * Opens the adapter.
 *
 * @param preset `auto` takes `broadcast` on software Vulkan and `tiled` on GPUs; naming one forces it
 * @throws {WinnowError} of kind `input` when there is no Vulkan adapter, with how to get one
 */
export async function openGpu(preset: Preset | "auto" = "auto"): Promise<Gpu> {
  // Without the pin Deno silently falls back to OpenGL, whose limits and f16 support differ.
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) throw inputError("No Vulkan adapter was found on this machine", NO_ADAPTER_REMEDY);
  const features = await acceptedFeatures(adapter);
  const requiredLimits: Record<string, number> = {};
  for (const limit of LIMITS) requiredLimits[limit] = Number(adapter.limits[limit]);
  const device = await adapter.requestDevice({
    label: "winnow",
    requiredFeatures: features as GPUFeatureName[],
    requiredLimits,
  });

  let failure: string | undefined;
  let closing = false;
  device.addEventListener("uncapturederror", (event) => {
    event.preventDefault();
    failure ??= (event as unknown as { error: GPUError }).error.message;
  });
  device.lost.then((info) => {
    if (!closing) failure ??= `the device was lost: ${info.message || info.reason}`;
  });
  addEventListener("unload", () => closing = true);

  const isSoftware = /llvmpipe|lavapipe|swiftshader/i.test(adapter.info.description);
  const pipelines = createPipelineCache(device);
  const sizes = new Map<GPUBuffer, number>();
  let allocatedBytes = 0;
  const gpu = {
    device,
    name: adapter.info.description || adapter.info.device || adapter.info.vendor,
    adapterId: `${adapter.info.vendor}:${adapter.info.device}`,
    isSoftware,
    preset: preset === "auto" ? (isSoftware ? "broadcast" : "tiled") : preset,
    subgroupSize: 0,
    features: new Set(features),
    limits: device.limits,
    pipelines,
    get allocatedBytes() {
      return allocatedBytes;
    },
    createBuffer(label: string, size: number, usage: number): GPUBuffer {
      const buffer = device.createBuffer({ label, size, usage });
      sizes.set(buffer, size);
      allocatedBytes += size;
      return buffer;
    },
    destroyBuffer(buffer: GPUBuffer) {
      allocatedBytes -= sizes.get(buffer) ?? 0;
      sizes.delete(buffer);
      buffer.destroy();
    },
    check() {
      if (failure === undefined) return;
      const message = failure;
      failure = undefined;
      throw new WinnowError("failure", `WebGPU on ${gpu.name}: ${message.trim()}`, "");
    },
  };
  if (features.includes("subgroups")) gpu.subgroupSize = await probeSubgroups(device, pipelines);
  if (gpu.subgroupSize === 0 && gpu.preset === "broadcast") {
    if (preset === "broadcast") {
      throw inputError(`gpu.preset=broadcast needs subgroups, which ${gpu.name} lacks`, "Use gpu.preset=tiled");
    }
    gpu.preset = "tiled";
  }
  return gpu;
}
