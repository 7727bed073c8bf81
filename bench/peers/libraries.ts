/** Opens the libraries for the web on their WebGPU backends. */
import { defaultDevice, getWebGPUDevice, init } from "@jax-js/jax";
import * as tf from "@tensorflow/tfjs-core";
import "@tensorflow/tfjs-backend-webgpu";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
// Registers the gradients of core's operations, which core's own bundle leaves out.
import "@tensorflow/tfjs-layers";

/**
 * jax-js adds the gradient of `take` by a helper that is given a pointer into storage, which Deno's WGSL compiler does not
 * know: the same helper with the element's number in its place.
 */
function acceptStoragePointers(): void {
  const device = GPUDevice.prototype, { createShaderModule } = device;
  device.createShaderModule = function (descriptor) {
    const code = descriptor.code
      .replace("address: ptr<storage, atomic<u32>, read_write>, value: f32", "at: u32, value: f32")
      .replace("atomicLoad(address)", "atomicLoad(&output[at])")
      .replace("atomicCompareExchangeWeak(address,", "atomicCompareExchangeWeak(&output[at],")
      .replace("atomic_add_f32(&output[output_index],", "atomic_add_f32(output_index,");
    return createShaderModule.call(this, { ...descriptor, code });
  };
}

/**
 * Opens jax-js.
 *
 * @returns its adapter's description
 * @throws {Error} when it finds none
 */
export async function openJaxJs(): Promise<string> {
  acceptStoragePointers();
  if (!(await init("webgpu")).includes("webgpu")) throw new Error("jax-js found no WebGPU adapter");
  defaultDevice("webgpu");
  return getWebGPUDevice().adapterInfo.description;
}

/**
 * Opens TensorFlow.js.
 *
 * @returns its adapter's description
 * @throws {Error} when it finds none
 */
export async function openTfjs(): Promise<string> {
  if (!await tf.setBackend("webgpu")) throw new Error("TensorFlow.js found no WebGPU adapter");
  return (tf.backend() as WebGPUBackend).device.adapterInfo.description;
}

/**
 * Opens both on the adapter of a device that is open already.
 *
 * @throws {Error} when they find another
 */
export async function openLibraries(adapter: string): Promise<void> {
  for (const [name, found] of [["jax-js", await openJaxJs()], ["tfjs", await openTfjs()]]) {
    if (found !== adapter) throw new Error(`Expected one adapter but found "${adapter}" and, for ${name}, "${found}"`);
  }
}
