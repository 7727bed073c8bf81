/**
 * The adapter that Winnow would run on, as JSON: `deno run -P=bench bench/adapter.ts [--allow-cpu]`. Exit code 1 where it is
 * the processor, unless that is allowed.
 */
import { openGpu } from "../lib/gpu/device.ts";

const { name, isSoftware, preset, subgroupSize, features, limits } = await openGpu();
console.log(JSON.stringify({
  name,
  isSoftware,
  preset,
  subgroupSize,
  features: [...features],
  maxBufferSize: limits.maxBufferSize,
  maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
}));
if (isSoftware && !Deno.args.includes("--allow-cpu")) {
  console.error(
    `error: The adapter is the processor: ${name}\n  remedy: Install the GPU's Vulkan driver (in a container: ` +
      "NVIDIA_DRIVER_CAPABILITIES=all and the package libvulkan1), or give --allow-cpu",
  );
  Deno.exit(1);
}
Deno.exit(0);
