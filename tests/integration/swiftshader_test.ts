/**
 * The kernels of GPUs on a second Vulkan driver: SwiftShader, whose subgroups have 4 lanes and whose compiler is not Mesa's.
 * In processes of their own, since a process has one driver.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "../support/commands.ts";

/** Where Debian's `chromium-common` has it, and where `scripts/setup.sh --peers` puts it. */
const PLACES = [
  Deno.env.get("WINNOW_SWIFTSHADER") ?? "",
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  join(ROOT, ".cache", "tools", "swiftshader", "vk_swiftshader_icd.json"),
];

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

const driver = PLACES.find(isFile);
const skipped = driver === undefined
  ? " (skipped: no SwiftShader; WINNOW_SWIFTSHADER names its vk_swiftshader_icd.json)"
  : "";

/** Runs tests of a file on SwiftShader and returns how many passed. */
async function passedOn(icd: string, file: string, filter: string): Promise<number> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--no-check", "-P=test", "--no-prompt", "--filter", filter, join("tests", "integration", file)],
    cwd: ROOT,
    env: { VK_DRIVER_FILES: icd, VK_ICD_FILENAMES: icd, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [said, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${said}${errors}`);
  return Number(/^ok \| (\d+) passed/m.exec(said!)?.[1]);
}

Deno.test({
  name: `the kernels of GPUs are right on SwiftShader: a model's gradients, products in every variant${skipped}`,
  ignore: driver === undefined,
  async fn() {
    const adapter = await new Deno.Command(Deno.execPath(), {
      args: ["eval", "console.log((await navigator.gpu.requestAdapter()).info.description)"],
      env: { VK_DRIVER_FILES: driver!, VK_ICD_FILENAMES: driver!, DENO_WEBGPU_BACKEND: "vulkan" },
    }).output();
    assert.match(new TextDecoder().decode(adapter.stdout), /SwiftShader/);
    const passed = await Promise.all([
      passedOn(driver!, "golden_model_test.ts", "/^bert_odd_cls equals PyTorch: every gradient.*tiled, as on NVIDIA/"),
      passedOn(driver!, "gemm_test.ts", "/^gemm tiled nt|^gemm tiled tn sums/"),
    ]);
    assert.deepEqual(passed, [1, 2]);
  },
});
