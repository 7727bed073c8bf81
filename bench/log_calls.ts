/**
 * What one call of a trial's log takes: `deno task bench:log [--calls 20000] [--folder PLACE] [--json]`. Two files each, as
 * in a study, first alone and then while another process writes 256 MB and syncs, again and again, on the same disk.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createLogger, openLogFiles } from "../lib/support/logging.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "20000" },
    folder: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const calls = Number(values.calls);
const folder = await Deno.makeTempDir({ prefix: "winnow-bench-", ...(values.folder ? { dir: values.folder } : {}) });

/** Calls in bursts of 20, with a turn of the event loop behind each, as steps have it. */
async function measure(name: string) {
  const files = openLogFiles(join(folder, name));
  const log = createLogger([files.sink], { component: "trainer", trial: crypto.randomUUID() });
  const times = new Float64Array(calls);
  for (let i = 0; i < calls; i++) {
    const started = performance.now();
    log.info("step", {
      step: i + 1,
      learning_rate: 1e-5 * (i % 1000),
      loss: 0.69314718 + i * 1e-6,
      criteria_loss: 0.5234 + i * 1e-6,
      span_loss: 0.17 + i * 1e-6,
      gradient_norm: 1.2345 + i * 1e-6,
    });
    times[i] = performance.now() - started;
    if (i % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  const lost = files.close();
  if (lost > 0) throw new Error(`${lost} bytes of the log were lost`);
  const sorted = times.toSorted();
  const at = (share: number) => Number(sorted[Math.min(calls - 1, Math.floor(share * calls))]!.toFixed(3));
  return { p50_ms: at(0.5), p95_ms: at(0.95), p99_ms: at(0.99), max_ms: at(1) };
}

try {
  const alone = await measure("alone");
  const path = join(folder, "written");
  const writer = new Deno.Command("sh", {
    args: [
      "-c",
      `while [ ! -e "$0.stop" ]; do dd if=/dev/zero of="$0" bs=4M count=64 conv=fsync 2>/dev/null; done`,
      path,
    ],
  }).spawn();
  const beside = await measure("beside").finally(async () => {
    await Deno.writeTextFile(`${path}.stop`, "");
    await writer.status;
  });
  const result = { bench: "log", calls, alone, beside_a_writer: beside };
  console.log(values.json ? JSON.stringify(result) : result);
} finally {
  await Deno.remove(folder, { recursive: true });
}
