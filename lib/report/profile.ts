/**
 * What `deno task profile` tells of a training step: time by kernel, against the step run as training runs it.
 * `contracts/profile.schema.json` is generated from this schema.
 */
import { z } from "zod";
import { callName, callShape } from "../graph/cost.ts";
import { PHASES, productShare, type ProfiledDispatch, type StepProfile } from "../train/profile.ts";

const count = z.int().min(0);
const ms = z.number().min(0).describe("milliseconds of a step, median over the timed ones");
const share = z.number().min(0).max(1).describe("of the sum of all kernels");

const measured = z.strictObject({
  dispatches: z.int().min(1).describe("in one step"),
  ms,
  share,
  flops: count.describe(
    "operations of matrix products in a step, multiply and add as two; attention's products counted",
  ),
  gflops: z.number().nullable().describe("10^9 of them a second; null where there are none"),
  bytes: count.describe(
    "of the tensors bound, once for reading and once for writing; of looked-up tables the rows used",
  ),
  gb_per_second: z.number().describe("10^9 of them a second"),
});

/** The schema of a profile. */
export const profileSchema = z.strictObject({
  format: z.literal("winnow-profile/1"),
  version: z.string().describe("Winnow's version"),
  adapter: z.strictObject({
    name: z.string(),
    preset: z.enum(["broadcast", "tiled"]).describe("which variants of the kernels run"),
    tick_ns: z.number().describe("nanoseconds of a tick of the GPU's clock; measured where it is not 1"),
  }),
  model: z.strictObject({
    id: z.string(),
    layers: z.int(),
    hidden: z.int(),
    heads: z.int(),
    precision: z.enum(["f32", "f16"]),
    recompute: z.enum(["none", "feed_forward", "layer"]),
    tuning: z.string(),
  }),
  batch: z.strictObject({
    texts: z.int().describe("in a micro-batch"),
    length: z.int().describe("tokens of a text, padding included"),
    micro_batches: z.int().describe("in a step: training.accumulation_steps"),
    tokens: z.int().describe("in a step"),
    real_tokens: z.int().describe("of them, without padding"),
    lengths: z.array(z.strictObject({ length: z.int(), batches: count })).describe("of an epoch's batches"),
  }),
  steps: z.int().min(1).describe("timed: as many dispatch by dispatch, in one pass, and queued"),
  sum_ms: z.number().describe("the sum of all kernels"),
  one_pass_ms: z.number().describe("GPU time of the step in one compute pass, as training runs it; median"),
  queued_ms: z.number().describe(
    "time of a step where steps are queued one behind the other; a mean, batches included",
  ),
  gemm_ms: z.number().describe("of sum_ms, the GEMM kernels"),
  step_over_gemm: z.number().describe("one_pass_ms / gemm_ms"),
  tokens_per_second: z.strictObject({ real: z.number(), padded: z.number() }).describe("by queued_ms"),
  phases: z.array(z.strictObject({ phase: z.enum(PHASES), ...measured.shape })).describe("forward includes the losses"),
  kernels: z.array(
    z.strictObject({
      name: z.string().describe("the kernel; of matrix products also layout and what is fused behind"),
      ...measured.shape,
      shapes: z.array(z.strictObject({ shape: z.string().describe("M×N×K"), ...measured.shape }))
        .describe("of matrix products"),
    }),
  ).describe("longest first"),
  trace: z.string().nullable().describe("the file that --trace named"),
}).meta({
  title: "Winnow profile",
  description: "Where the time of a training step goes.",
});

/** A profile. */
export type ProfileReport = z.infer<typeof profileSchema>;
type Measured = z.infer<typeof measured>;

/** 10^9 of something a second. */
const rate = (amount: number, milliseconds: number): number => milliseconds > 0 ? amount / milliseconds / 1e6 : 0;

function measure(dispatches: readonly ProfiledDispatch[], all: number): Measured {
  const sum = (of: (one: ProfiledDispatch) => number) => dispatches.reduce((total, one) => total + of(one), 0);
  const milliseconds = sum((one) => one.milliseconds);
  const flops = sum(({ cost }) => cost.flops), bytes = sum(({ cost }) => cost.bytes);
  return {
    dispatches: dispatches.length,
    ms: milliseconds,
    share: milliseconds / all,
    flops,
    gflops: flops === 0 ? null : rate(flops, milliseconds),
    bytes,
    gb_per_second: rate(bytes, milliseconds),
  };
}

/** Groups of dispatches by a name, the longest first. */
function groups(dispatches: readonly ProfiledDispatch[], nameOf: (one: ProfiledDispatch) => string, all: number) {
  return [...Map.groupBy(dispatches, nameOf)]
    .map(([name, members]) => ({ name, members, measured: measure(members, all) }))
    .sort((a, b) => b.measured.ms - a.measured.ms);
}

/** What of a report comes from the profile of a step alone. */
export type ProfileFigures = Pick<
  ProfileReport,
  "steps" | "sum_ms" | "one_pass_ms" | "gemm_ms" | "step_over_gemm" | "phases" | "kernels"
>;

/** The figures of a profiled step. */
export function profileFigures(profile: StepProfile): ProfileFigures {
  const { dispatches, steps, onePassMs } = profile;
  const all = dispatches.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const { gemmMs, stepOverGemm } = productShare(profile);
  return {
    steps,
    sum_ms: all,
    one_pass_ms: onePassMs,
    gemm_ms: gemmMs,
    step_over_gemm: stepOverGemm,
    phases: PHASES.flatMap((phase) => {
      const members = dispatches.filter((one) => one.phase === phase);
      return members.length === 0 ? [] : [{ phase, ...measure(members, all) }];
    }),
    kernels: groups(dispatches, ({ call }) => callName(call), all).map(({ name, members, measured }) => ({
      name,
      ...measured,
      shapes: groups(members.filter(({ call }) => callShape(call) !== ""), ({ call }) => callShape(call), all)
        .map(({ name: shape, measured }) => ({ shape, ...measured })),
    })),
  };
}
