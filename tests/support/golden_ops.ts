/** The cases of a golden file of ops, run in every variant of the kernels. Tolerances: docs/numerics.md. */
import assert from "node:assert/strict";
import type { Gpu } from "../../lib/gpu/device.ts";
import type { Graph, Target } from "../../lib/graph/graph.ts";
import type { Tensor } from "../../lib/graph/tensor.ts";
import { type GoldenTensor, largestDifference, readGolden, readGoldenJson } from "./golden.ts";
import { activation, constant, type Leaf, parameter, runGraph, VARIANTS } from "./graph_runner.ts";

/** One case, as the Python script describes it. */
export interface GoldenCase {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly float32Error?: number;
  // deno-lint-ignore no-explicit-any -- attributes differ by op; the scripts in tests/peers write them
  readonly [attribute: string]: any;
}

/** Tensors by their names in the file. */
export type Results = Record<string, Float32Array>;

/** How an op of a file is run: golden inputs in, tensors by the names of the file out. */
export type GoldenOp = (
  get: (name: string) => GoldenTensor,
  golden: GoldenCase,
  target: Partial<Target>,
) => Promise<Results>;

/** A golden tensor as an activation, with a gradient. */
export const activationOf = ({ shape, data }: GoldenTensor): Leaf => activation(shape, data);
/** A golden tensor as a parameter, with a gradient. */
export const parameterOf = ({ shape, data }: GoldenTensor): Leaf => parameter(shape, data);
/** A golden tensor as a constant. */
export const constantOf = ({ shape, data }: GoldenTensor): Leaf => constant(shape, data);
/** Golden integers as u32; -1 becomes 0xffffffff. */
export const wordsOf = ({ shape, data }: GoldenTensor): Leaf => constant(shape, Uint32Array.from(data));

/** Runs one op with the upstream gradient `dy` on its output `y`: that, and d<name> of every learned input. */
export async function differentiated(
  gpu: Gpu,
  target: Partial<Target>,
  inputs: Record<string, Leaf>,
  op: (g: Graph, t: Readonly<Record<string, Tensor>>) => Tensor,
): Promise<Results> {
  const { outputs, gradients } = await runGraph(gpu, {
    inputs,
    build: (g, t: Readonly<Record<string, Tensor>>) => {
      const y = op(g, t);
      return { outputs: { y }, seeds: [[y, t["dy"]!]] as const };
    },
  }, target);
  return { y: outputs.y, ...Object.fromEntries(Object.entries(gradients).map(([name, value]) => [`d${name}`, value])) };
}

/** One test per case and variant: every output of the case equals its reference. */
export function testGoldenOps(
  file: string,
  ops: Readonly<Record<string, GoldenOp>>,
  variants: Readonly<Record<string, Partial<Target>>> = VARIANTS,
): void {
  const golden = readGolden(file);
  for (const [variant, target] of Object.entries(variants)) {
    for (const goldenCase of readGoldenJson(file).cases as GoldenCase[]) {
      const { name, op, outputs, float32Error = 0 } = goldenCase;
      Deno.test(`${name} equals PyTorch (${variant})`, async () => {
        const get = (tensor: string) => golden.get(`${name}.${tensor}`)!;
        const results = await ops[op]!(get, goldenCase, target);
        const tolerance = Math.max(1e-5, 4 * float32Error);
        for (const [output, actual] of Object.entries(results)) {
          if (output === "ddy") continue;
          assert.ok(outputs.includes(output), `${output} is not in ${file}.json`);
          const expected = get(output).data;
          const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
          const difference = largestDifference(actual, expected);
          assert.ok(difference <= tolerance * largest, `${output} differs by ${difference}, its largest is ${largest}`);
        }
        const compared = outputs.filter((output) => output in results);
        // Attention with a fully masked row has two references, of which one is ours.
        assert.equal(compared.length, outputs.some((output) => output.startsWith("uniform.")) ? 4 : outputs.length);
      });
    }
  }
}
