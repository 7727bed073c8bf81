/**
 * The tuner on the matrix products of an encoder layer of MiniLM (384, 1536) and BERT-base (768, 3072): every variant's
 * median time, the choice, and what it gains over the variant that runs untried.
 *
 *   deno task bench:variants [--json] [--preset broadcast|tiled] [--tokens 256]
 *
 * The last line of output is one JSON object; with --json it is the only one.
 */
import { parseArgs } from "node:util";
import { openGpu } from "../lib/gpu/device.ts";
import { gemmDispatch, type GemmPreset, type GemmRequest } from "../lib/gpu/gemm.ts";
import { gemmCandidates, tunedRequest, tuneGemm, tuningKey } from "../lib/gpu/tune.ts";
import { median } from "../lib/support/median.ts";

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    preset: { type: "string" },
    tokens: { type: "string", default: "256" },
  },
});
const gpu = await openGpu((options.preset ?? "auto") as GemmPreset | "auto");
const { preset, subgroupSize } = gpu;
const tokens = Number(options.tokens);
const say = (line: string) => options.json || console.log(line);

/** The largest product of each layout and epilogue that a layer of width h and inner width f trains with. */
const products = (h: number, f: number): Omit<GemmRequest, "preset" | "subgroupSize">[] => [
  { layout: "nt", m: tokens, n: 3 * h, k: h, epilogue: "bias" },
  { layout: "nt", m: tokens, n: f, k: h, epilogue: "bias_gelu_erf" },
  { layout: "nt", m: tokens, n: h, k: f, epilogue: "bias" },
  { layout: "nn", m: tokens, n: f, k: h, epilogue: "dgelu_erf" },
  { layout: "nn", m: tokens, n: h, k: f, epilogue: "accumulate" },
  { layout: "tn", m: f, n: h, k: tokens, epilogue: "accumulate" },
];

const results: Record<string, unknown>[] = [];
for (const [model, h, f] of [["MiniLM", 384, 1536], ["BERT-base", 768, 3072]] as const) {
  for (const product of products(h, f)) {
    const request: GemmRequest = { ...product, preset, subgroupSize };
    const candidates = gemmCandidates(gpu, request);
    const started = performance.now();
    const { variant, microseconds, dropped } = await tuneGemm(gpu, request, candidates);
    const seconds = (performance.now() - started) / 1000;
    const times = Object.fromEntries(Object.entries(microseconds).map(([name, all]) => [name, median(all)]));
    const tried = tunedRequest(request);
    const constants = JSON.stringify(gemmDispatch(tried).constants);
    const untried = candidates.find((one) =>
      JSON.stringify(gemmDispatch({ ...tried, variant: one }).constants) === constants
    );
    const gain = untried && variant && variant in times ? times[untried]! / times[variant]! : null;
    results.push({ model, product: tuningKey(request), variant, untried, gain, seconds, microseconds: times, dropped });
    say(
      `${model.padEnd(9)}  ${tuningKey(request).padEnd(30)}  ${variant}  x${gain?.toFixed(2)} of untried, ` +
        `tried in ${seconds.toFixed(1)} s: ` +
        Object.entries(times).map(([name, time]) => `${name} ${(time / 1000).toFixed(1)} ms`).join("; "),
    );
  }
}
console.log(JSON.stringify({ bench: "gemm_variants", adapter: gpu.name, preset, tokens, results }));
