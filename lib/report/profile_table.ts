/** A profile as text for a terminal of 80 columns. */
import type { ProfileReport } from "./profile.ts";
import { alignColumns } from "./study_table.ts";

const group = (count: number): string => String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
const percent = (share: number): string => (100 * share).toFixed(1);

type Measured = Omit<ProfileReport["kernels"][number], "name" | "shapes">;

function row(name: string, { dispatches, ms, share, gflops, gb_per_second }: Measured): string[] {
  return [
    name,
    String(dispatches),
    ms.toFixed(3),
    percent(share),
    gflops === null ? "-" : gflops.toFixed(1),
    gb_per_second.toFixed(2),
  ];
}

const COLUMNS = ["calls", "ms", "% of sum", "GFLOP/s", "GB/s"];

const WIDTH = 80;

/** Words under a heading, wrapped to the terminal. */
function paragraph(heading: string, text: string): string {
  const indent = 9;
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && indent + line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines.map((line, i) => (i === 0 ? heading : "").padEnd(indent) + line).join("\n");
}

/** What was profiled, and how. */
function subject({ adapter, model, batch, steps, kernels }: ProfileReport): string {
  const { texts, length, micro_batches, tokens, real_tokens, lengths } = batch;
  const all = lengths.reduce((sum, { batches }) => sum + batches, 0);
  const own = lengths.find((one) => one.length === length)!.batches;
  const others = lengths.filter((one) => one.length !== length).map((one) => `${one.length} (${one.batches})`);
  const dispatches = kernels.reduce((sum, one) => sum + one.dispatches, 0);
  return [
    paragraph(
      "adapter",
      `${adapter.name}, ${adapter.preset} kernels` +
        (adapter.tick_ns === 1 ? "" : `; its clock's tick was measured: ${adapter.tick_ns.toPrecision(3)} ns`),
    ),
    paragraph(
      "model",
      `${model.id}: ${model.layers} layers, hidden ${model.hidden}, ${model.heads} heads; ${model.precision}, ` +
        `recompute ${model.recompute}, tuning ${model.tuning}`,
    ),
    paragraph(
      "step",
      `${micro_batches === 1 ? "" : `${micro_batches} × `}${texts} texts of ${length} tokens, ` +
        `${group(real_tokens)} of ${group(tokens)} tokens not padding`,
    ),
    paragraph(
      "batches",
      `${own} of an epoch's ${all} are of this length` +
        (others.length === 0 ? "" : `; --length takes another: ${others.join(", ")}`),
    ),
    paragraph(
      "timed",
      `${group(dispatches)} dispatches, each in a pass between two timestamps; medians of ` +
        `${steps} step${steps === 1 ? "" : "s"}`,
    ),
  ].join("\n");
}

function totals({ sum_ms, one_pass_ms, queued_ms, gemm_ms, step_over_gemm, tokens_per_second }: ProfileReport): string {
  const line = (name: string, milliseconds: number, note: string) =>
    `${name.padEnd(18)}${milliseconds.toFixed(2).padStart(9)} ms  ${note}`;
  return [
    line("sum of kernels", sum_ms, "on the GPU, without what lies between them"),
    line("step in one pass", one_pass_ms, `on the GPU, as trained: ${percent(one_pass_ms / sum_ms)}% of the sum`),
    line("step, queued", queued_ms, "on the clock, with batches and uploads: a mean"),
    line(
      "GEMM kernels",
      gemm_ms,
      `${percent(gemm_ms / sum_ms)}% of the sum; step over GEMMs alone ${step_over_gemm.toFixed(2)}`,
    ),
    `${"tokens a second".padEnd(18)}${group(tokens_per_second.real).padStart(9)}     without padding; ` +
    `${group(tokens_per_second.padded)} with it`,
  ].join("\n");
}

/** The whole profile. There is no final newline. */
export function profileTable(report: ProfileReport): string {
  return [
    subject(report),
    alignColumns(
      ["kernel", ...COLUMNS],
      report.kernels.flatMap(({ name, shapes, ...measured }) => [
        row(name, measured),
        ...(shapes.length > 1 ? shapes.map(({ shape, ...of }) => row(`  ${shape}`, of)) : []),
      ]),
    ),
    alignColumns(["phase", ...COLUMNS], report.phases.map(({ phase, ...measured }) => row(phase, measured))),
    totals(report),
    "GFLOP/s: matrix products (M×N×K), attention's too. GB/s: bytes of the tensors\n" +
    "bound, once for reading and once for writing; caches may serve some of them.",
    ...(report.trace === null ? [] : [`trace written to ${report.trace}; open it in ui.perfetto.dev`]),
  ].join("\n\n");
}
