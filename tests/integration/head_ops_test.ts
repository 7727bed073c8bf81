/** What golden files cannot say of the ops that heads are made of: padding, shared inputs, draws, and wrong shapes. */
import assert from "node:assert/strict";
import { openGpu } from "../../lib/gpu/device.ts";
import { softmax } from "../../lib/graph/ops/softmax.ts";
import { activation, parameter, runGraph } from "../support/graph_runner.ts";

const gpu = await openGpu();

for (const count of [1, 2, 3, 5, 6, 7, 8]) {
  Deno.test(`the gradient of a parameter of ${count} elements leaves what lies behind it 0`, async () => {
    const values = Float32Array.from({ length: count }, (_, i) => i / 3);
    const { outputs, gradients } = await runGraph(gpu, {
      inputs: { w: parameter([count], values), dy: activation([count], values) },
      build: (g, { w, dy }) => {
        const y = softmax(g, w);
        // The gradient arena is laid out as the parameter arena is, in steps of 256 bytes.
        const slot = { ...w.slot!, size: 256 };
        return { outputs: { all: g.fixed("gradient with padding", [64], "gradient", slot) }, seeds: [[y, dy]] };
      },
    });
    assert.deepEqual([...outputs.all], [...gradients.w, ...new Array(64 - count).fill(0)]);
  });
}
