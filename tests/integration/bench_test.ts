/**
 * The benchmarks run: in tiny sizes the suite's task times ops and a training step beside both libraries for the web,
 * which first have to give the same results and losses, and writes a line of JSON and rows of a table for each suite.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { ROOT } from "../support/commands.ts";

Deno.test("benchmark suites compare with their peers and write what they measured", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const out = join(folder, "results.jsonl"), table = join(folder, "results.md");
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["task", "--quiet", "bench", "--small", "--only", "attention,layer_norm,step"],
        ...["--peers", "jax-js,tfjs", "--out", out, "--table", table],
      ],
      cwd: ROOT,
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const lines = (await Deno.readTextFile(out)).trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map(({ suite }) => suite), ["attention", "layer_norm", "step"]);
    const [attention, , step] = lines.map(({ result }) => result);
    assert.deepEqual(attention.results.map(({ pass }: { pass: string }) => pass), ["forward", "forward and backward"]);
    for (const engines of [...attention.results.map((one: { engines: unknown }) => one.engines), step.engines]) {
      assert.deepEqual(Object.keys(engines), ["winnow", "jax-js", "tfjs"]);
    }
    for (const { ratio, step_ms, peak_rss_bytes, gpu_bytes } of Object.values<Record<string, number>>(step.engines)) {
      for (const figure of [ratio, step_ms, peak_rss_bytes, gpu_bytes]) assert.ok(figure! > 0);
    }
    const rows = (await Deno.readTextFile(table)).split("\n");
    assert.equal(
      rows.filter((row) => /^\| (attention|layer_norm|step) \|.*\| (winnow|jax-js|tfjs) \|/.test(row)).length,
      15,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the step benchmark refuses options that a comparison does not have", async () => {
  const refused = async (...args: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["task", "--quiet", "bench:step", ...args],
      cwd: ROOT,
      stdout: "null",
      stderr: "piped",
    }).output();
    assert.equal(code, 2);
    return new TextDecoder().decode(stderr);
  };
  assert.match(await refused("--peers", "torch", "--dropout", "0.1"), /--dropout is not for a comparison/);
  assert.match(await refused("--peers", "onnx"), /onnx has no training step: give --forward/);
  assert.match(await refused("--peers", "caffe"), /some of jax-js, tfjs, torch, onnx but found caffe/);
});
