/**
 * A kernel is a WGSL file plus what the file itself says of its bindings: names, order and access are read from the
 * text, so that a dispatch names its buffers and a mismatch is an error that names kernel and binding.
 */
import { type Constants, expandTemplate } from "./template.ts";

/** A storage binding of a kernel, in the order of its `@binding` index. */
export interface KernelBinding {
  readonly name: string;
  readonly index: number;
  readonly access: "read" | "read_write";
}

/** One 32-bit field of a kernel's `Dims` uniform. */
export interface DimsField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

/** A WGSL source that can be specialised: entry point `main`, bindings in group 0, `Dims` and `Step` uniforms. */
export interface Kernel {
  readonly name: string;
  readonly source: string;
  readonly includes: Readonly<Record<string, string>>;
}

/** The specialised text of a kernel and what it binds. */
export interface KernelModule {
  readonly code: string;
  readonly bindings: readonly KernelBinding[];
  /** Index of the `dims` uniform in group 0, or -1 when the kernel has none. */
  readonly dimsIndex: number;
  readonly dims: readonly DimsField[];
  /** Whether the kernel reads the step scalars (group 1). */
  readonly usesStep: boolean;
}

/** Declares a kernel from its WGSL text; `includes` are the files its `//#include` lines name. */
export function defineKernel(name: string, source: string, includes: Record<string, string> = {}): Kernel {
  return { name, source, includes };
}

const BINDING =
  /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<(uniform|storage)(?:\s*,\s*(read_write|read))?>\s*(\w+)\s*:/g;

/**
 * Expands a kernel and reads its bindings. `promoted` names read-only bindings that must be declared `read_write`
 * because WebGPU forbids one buffer to be bound `read` and `read_write` in one dispatch, even on disjoint ranges.
 *
 * @throws {SyntaxError} when the text declares a binding this loader does not know how to fill
 */
export function specialise(kernel: Kernel, constants: Constants, promoted: ReadonlySet<string>): KernelModule {
  let code = expandTemplate(kernel.source, constants, kernel.includes);
  const bindings: KernelBinding[] = [];
  let dimsIndex = -1, usesStep = false;
  code = code.replace(BINDING, (text, group, index, space, access, name) => {
    if (space === "uniform") {
      if (group === "1" && name === "step") usesStep = true;
      else if (group === "0" && name === "dims") dimsIndex = Number(index);
      else throw new SyntaxError(`Kernel ${kernel.name}: expected uniform "dims" or "step" but found "${name}"`);
      return text;
    }
    if (group !== "0") throw new SyntaxError(`Kernel ${kernel.name}: expected binding "${name}" in group 0`);
    const declared = (access ?? "read") as KernelBinding["access"];
    bindings.push({ name, index: Number(index), access: declared });
    return promoted.has(name) ? text.replace(/storage\s*(,\s*read)?>/, "storage, read_write>") : text;
  });
  const dims: DimsField[] = [];
  const struct = /struct\s+Dims\s*\{([^}]*)\}/.exec(code);
  if (struct) {
    const body = struct[1]!.replace(/\/\/.*$/gm, "");
    for (const field of body.matchAll(/(\w+)\s*:\s*(u32|i32|f32)/g)) {
      dims.push({ name: field[1]!, type: field[2] as DimsField["type"] });
    }
  }
  bindings.sort((a, b) => a.index - b.index);
  return { code, bindings, dimsIndex, dims, usesStep };
}

/** A compiled specialisation. */
export interface Pipeline {
  readonly module: KernelModule;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
  readonly label: string;
}

/** Compiles specialised kernels once per device; lookups are by kernel, constants and promoted bindings. */
export interface PipelineCache {
  get(kernel: Kernel, constants: Constants, promoted: ReadonlySet<string>): Pipeline;
  /** The bindings of a kernel as its text declares them, by name; nothing is compiled. */
  access(kernel: Kernel, constants: Constants): ReadonlyMap<string, KernelBinding["access"]>;
  /** The layout of group 1: the step scalars, at a dynamic offset. */
  readonly stepLayout: GPUBindGroupLayout;
  readonly size: number;
}

/** A cache of pipelines on one device. Layouts are explicit, since `layout: "auto"` drops unused bindings. */
export function createPipelineCache(device: GPUDevice): PipelineCache {
  const pipelines = new Map<string, Pipeline>();
  const declared = new Map<string, ReturnType<PipelineCache["access"]>>();
  const stepLayout = device.createBindGroupLayout({
    label: "step scalars",
    entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform", hasDynamicOffset: true } }],
  });
  const compile = (kernel: Kernel, constants: Constants, promoted: ReadonlySet<string>): Pipeline => {
    const module = specialise(kernel, constants, promoted);
    const label = `${kernel.name} ${JSON.stringify(constants)}`;
    const entries: GPUBindGroupLayoutEntry[] = module.bindings.map((binding) => ({
      binding: binding.index,
      visibility: GPUShaderStage.COMPUTE,
      buffer: {
        type: binding.access === "read" && !promoted.has(binding.name) ? "read-only-storage" : "storage",
      },
    }));
    if (module.dimsIndex >= 0) {
      entries.push({ binding: module.dimsIndex, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform" } });
    }
    const layout = device.createBindGroupLayout({ label, entries });
    const pipeline = device.createComputePipeline({
      label,
      layout: device.createPipelineLayout({
        label,
        bindGroupLayouts: module.usesStep ? [layout, stepLayout] : [layout],
      }),
      compute: { module: device.createShaderModule({ label, code: module.code }), entryPoint: "main" },
    });
    return { module, pipeline, layout, label };
  };
  return {
    stepLayout,
    get size() {
      return pipelines.size;
    },
    access(kernel, constants) {
      const key = `${kernel.name}|${JSON.stringify(constants)}`;
      let found = declared.get(key);
      if (!found) {
        const { bindings } = specialise(kernel, constants, new Set());
        declared.set(key, found = new Map(bindings.map(({ name, access }) => [name, access])));
      }
      return found;
    },
    get(kernel, constants, promoted) {
      const key = `${kernel.name}|${JSON.stringify(constants)}|${[...promoted].sort().join()}`;
      let pipeline = pipelines.get(key);
      if (!pipeline) pipelines.set(key, pipeline = compile(kernel, constants, promoted));
      return pipeline;
    },
  };
}
