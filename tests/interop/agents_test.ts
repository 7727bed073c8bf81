/**
 * Everything behind the encoder against PyTorch (`tests/peers/agents.py`): all criteria heads on all poolings, all
 * evidence heads, all couplings; logits, losses and the gradient of every parameter. Tolerances: docs/numerics.md.
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { openGpu } from "../../lib/gpu/device.ts";
import { type ActivationName, ACTIVATIONS } from "../../lib/graph/ops/activation.ts";
import { BCE, criteriaLoss } from "../../lib/graph/ops/losses.ts";
import { elementCount, type Tensor } from "../../lib/graph/tensor.ts";
import type { CouplingOptions } from "../../lib/model/couplings/couple.ts";
import { COUPLINGS } from "../../lib/model/couplings/registry.ts";
import { CRITERIA_HEADS, type CriteriaHeadName } from "../../lib/model/criteria_heads/registry.ts";
import {
  agentParameters,
  agents,
  type DualAgentConfig,
  evidenceHeadOf,
  evidenceOptions,
} from "../../lib/model/dual_agent.ts";
import type { EncoderConfig } from "../../lib/model/encoder.ts";
import { EVIDENCE_HEADS, type EvidenceHeadName } from "../../lib/model/evidence_heads/registry.ts";
import { type PoolingName, POOLINGS } from "../../lib/model/poolings/registry.ts";
import { randomStream } from "../../lib/support/rng.ts";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { type GoldenTensor, largestDifference, norm, parseTensors, relativeDifference } from "../support/golden.ts";
import { activation, constant, type Leaf, parameter, runGraph, VARIANTS } from "../support/graph_runner.ts";

const [B, T, C, K] = [3, 14, 16, 3];
const LENGTHS = [14, 9, 0];

interface AgentCase {
  readonly name: string;
  readonly activation: ActivationName;
  readonly pooling: PoolingName;
  readonly criteriaHead: CriteriaHeadName;
  readonly evidenceHead: EvidenceHeadName;
  readonly coupling: CouplingOptions | null;
}

const keys = <T extends object>(registry: T) => Object.keys(registry) as (keyof T & string)[];
const plain = {
  activation: "gelu",
  pooling: "mean",
  criteriaHead: "linear",
  evidenceHead: "start_end_linear",
  coupling: null,
} as const;
const CASES: AgentCase[] = [
  ...keys(CRITERIA_HEADS).flatMap((criteriaHead) =>
    keys(POOLINGS).map((pooling) => ({ ...plain, name: `${criteriaHead}_${pooling}`, criteriaHead, pooling }))
  ),
  ...keys(EVIDENCE_HEADS).map((evidenceHead) => ({ ...plain, name: evidenceHead, evidenceHead })),
  ...keys(ACTIVATIONS).map((activation) => ({
    ...plain,
    name: `with_${activation}`,
    activation,
    criteriaHead: "mlp" as const,
    evidenceHead: "start_end_mlp" as const,
  })),
  ...keys(COUPLINGS).flatMap((method) =>
    (method === "cross_attention" ? ["mean" as const] : ["mean" as const, "max" as const, "attention" as const])
      .flatMap((pooling) =>
        (method === "cross_attention" ? [true] : [true, false]).map((poolBeforeCombination) => ({
          ...plain,
          name: `coupled_${method}_${pooling}_${poolBeforeCombination ? "before" : "after"}`,
          evidenceHead: "bio_crf" as const,
          coupling: { method, pooling, poolBeforeCombination },
        }))
      )
  ),
];

function configOf(one: AgentCase): DualAgentConfig {
  return {
    encoder: { hidden_size: C } as EncoderConfig,
    criteria: K,
    activation: one.activation,
    pooling: one.pooling,
    criteriaHead: { type: one.criteriaHead, hidden: 20, dropout: 0 },
    evidenceHead: { type: one.evidenceHead, hidden: 12, dropout: 0, maxSpanTokens: 4, maxSpans: 2 },
    coupling: one.coupling,
    loss: { form: BCE, weighted: false, adaptive: false },
  };
}

/** Inputs and parameters of a case, the same for the same name. */
function leavesOf(one: AgentCase): Map<string, { shape: readonly number[]; data: Float32Array<ArrayBuffer> }> {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array<ArrayBuffer> }>();
  const put = (name: string, shape: readonly number[], value: (i: number) => number) =>
    tensors.set(name, { shape, data: Float32Array.from({ length: elementCount(shape) }, (_, i) => value(i)) });
  const batch = randomStream(4, "batch"), random = randomStream(5, one.name);
  const inside = (i: number) => i % T < LENGTHS[Math.floor(i / T)]!;
  put("mask", [B, T], (i) => inside(i) ? 1 : 0);
  put("limits", [B], (b) => LENGTHS[b]!);
  put(
    "sentences",
    [B, T],
    (i) => i % T > 0 && i % T < LENGTHS[Math.floor(i / T)]! - 1 ? Math.floor((i % T - 1) / 3) : -1,
  );
  put("tags", [B, T, K], (i) => {
    const token = Math.floor(i / K) % T, k = i % K;
    if (k === 0 || token === 0 || token >= LENGTHS[Math.floor(i / K / T)]! - 1) return 0;
    return k === 1 ? [0, 0, 1, 2, 2][token] ?? 0 : [0, 1, 2, 0, 1, 1][token] ?? 0;
  });
  put("labels", [B, K], () => batch.integer(2));
  put("sampleWeight", [B], (b) => LENGTHS[b]! > 0 ? 1 : 0);
  put("spanWeight", [B, K], (i) => LENGTHS[Math.floor(i / K)]! > 0 && i !== 4 ? 1 : 0);
  for (const layer of [0, 1]) put(`state.${layer}`, [B, T, C], () => batch.normal());
  for (const { name, shape } of agentParameters(configOf(one))) {
    put(`parameter.${name}`, shape, () => 0.3 * random.normal());
  }
  return tensors;
}

const folder = await Deno.makeTempDir();
globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
const gpu = await openGpu();
let expected: Promise<(name: string) => Map<string, GoldenTensor>> | undefined;

/** All cases by PyTorch, computed once. */
async function peer(): Promise<(name: string) => Map<string, GoldenTensor>> {
  const python = Deno.env.get("WINNOW_PYTHON");
  if (!python) throw new Error("Set WINNOW_PYTHON to a Python with tests/peers/requirements.txt");
  await Deno.writeTextFile(
    join(folder, "cases.json"),
    JSON.stringify(CASES.map((one) => ({ ...one, maxSpanTokens: 4 }))),
  );
  for (const one of CASES) {
    const tensors = [...leavesOf(one)].map(([name, { shape, data }]) => ({ name, shape, data }));
    await writeSafetensors(join(folder, `${one.name}.safetensors`), tensors);
  }
  const script = new URL("../peers/agents.py", import.meta.url).pathname;
  const { success, stderr } = await new Deno.Command(python, {
    args: [script, folder],
    stdout: "null",
    stderr: "piped",
  })
    .output();
  if (!success) throw new Error(`agents.py failed:\n${new TextDecoder().decode(stderr)}`);
  return (name) => parseTensors(Deno.readFileSync(join(folder, `${name}.out.safetensors`)));
}

const WORDS = new Set(["mask", "limits", "sentences", "tags"]);

for (const [variant, target] of Object.entries(VARIANTS).slice(0, 3)) {
  for (const one of CASES) {
    Deno.test(`agents ${one.name} equal PyTorch (${variant})`, async () => {
      const theirs = (await (expected ??= peer()))(one.name);
      const config = configOf(one), leaves = leavesOf(one);
      const inputs: Record<string, Leaf> = { begins: constant([B], new Uint32Array(B).fill(1)) };
      for (const [name, { shape, data }] of leaves) {
        if (name.startsWith("parameter.")) inputs[name] = parameter(shape, data);
        else if (name.startsWith("state.")) inputs[name] = activation(shape, data);
        else inputs[name] = constant(shape, WORDS.has(name) ? Uint32Array.from(data) : data);
      }
      const weights = (name: string) => leaves.get(name)!.data.reduce((sum, value) => sum + value, 0);
      const { outputs, gradients } = await runGraph(
        gpu,
        {
          inputs,
          build: (g, t: Readonly<Record<string, Tensor>>) => {
            const lookup = (name: string) => t[`parameter.${name}`]!;
            const batch = {
              mask: t["mask"]!,
              limits: t["limits"]!,
              begins: t["begins"]!,
              sentences: t["sentences"]!,
              tags: t["tags"]!,
              spanWeight: t["spanWeight"]!,
            };
            const { criteriaLogits, evidenceLogits } = agents(g, config, [t["state.0"]!, t["state.1"]!], lookup, batch);
            const criteria = criteriaLoss(g, {
              logits: criteriaLogits,
              labels: t["labels"]!,
              weight: t["sampleWeight"]!,
            }, BCE);
            const evidence = evidenceHeadOf(config)
              .loss(g, evidenceLogits, batch, lookup, "evidence_head", evidenceOptions(config));
            const own = Object.fromEntries(
              (evidence.parameters ?? []).map((
                { parameter, gradient },
              ) => [`own.${parameter.name}`, gradient(undefined)]),
            );
            return {
              outputs: { criteriaLogits, evidenceLogits, a: criteria.items, b: evidence.items, ...own },
              seeds: [[criteriaLogits, criteria.dlogits], [evidenceLogits, evidence.dlogits]] as const,
            };
          },
        },
        target,
        { criteriaScale: 1 / (K * weights("sampleWeight")), spanScale: 1 / weights("spanWeight") },
      );
      const found: Record<string, Float32Array> = outputs;
      const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0);
      const [criteria, evidence] = theirs.get("losses")!.data as unknown as [number, number];
      assert.ok(Math.abs(sum(found["a"]!) - criteria) < 1e-5, `criteria loss ${sum(found["a"]!)}, not ${criteria}`);
      assert.ok(
        Math.abs(sum(found["b"]!) - evidence) < 1e-5 * Math.max(1, evidence),
        `evidence loss ${sum(found["b"]!)}, not ${evidence}`,
      );
      // Rows that are all padding have no defined pooling; they weigh nothing.
      const real = (values: Float32Array) => values.subarray(0, values.length / B * 2);
      for (const name of ["criteriaLogits", "evidenceLogits"]) {
        const padding = name === "evidenceLogits" && one.evidenceHead !== "sentence_reranker";
        const width = found[name]!.length / (padding ? B * T : B);
        const keep = (values: Float32Array) =>
          real(values).map((value, i) =>
            !padding || Math.floor(i / width) % T < LENGTHS[Math.floor(i / width / T)]! ? value : 0
          );
        // The band's last columns reach into the padding.
        if (one.evidenceHead === "biaffine" && padding) continue;
        assert.ok(largestDifference(keep(found[name]!), keep(theirs.get(name)!.data)) < 1e-4, name);
      }
      const whole = Math.sqrt(
        [...leaves.keys()].reduce((total, name) => total + norm(theirs.get(`d.${name}`)?.data ?? []) ** 2, 0),
      );
      for (const name of leaves.keys()) {
        const gradient = theirs.get(`d.${name}`)?.data;
        if (!gradient) continue;
        const ours = found[`own.${name}`] ?? (gradients as Record<string, Float32Array>)[name]!;
        // Where the true gradient is 0, only rounding is left.
        if (norm(gradient) < 1e-6 * whole) assert.ok(norm(ours) < 1e-5 * whole, `${name}: ‖g‖ = ${norm(ours)}`);
        else {assert.ok(
            relativeDifference(ours, gradient) < 1e-3,
            `${name}: relative difference ${relativeDifference(ours, gradient)}`,
          );}
      }
    });
  }
}
