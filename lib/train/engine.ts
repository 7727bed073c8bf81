/**
 * The engine: allocated arenas and recorded programs of one model, and the steps that run on them. It knows batches
 * and scalars, not epochs or files; the trainer drives it.
 */
import { type Arena, type ArenaSlot, createArena } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { createStepRing, type Program, type ProgramRunner, runInOnePass } from "../gpu/program.ts";
import { createReadback } from "../gpu/readback.ts";
import { compile, resolve } from "../graph/compile.ts";
import { LOSS_SCALE } from "../graph/optimizer.ts";
import { unionLayout } from "../graph/plan.ts";
import { elementCount } from "../graph/tensor.ts";
import { evidenceHeadOf, evidenceOptions } from "../model/dual_agent.ts";
import type { ScoredSpan } from "../model/evidence_heads/evidence_head.ts";
import { checkIds, packBatch } from "../model/inputs.ts";
import type { Batch } from "../data/batches.ts";
import { inputError, WinnowError } from "../support/errors.ts";
import {
  type EnginePlan,
  evaluationTensors,
  type GraphsByLength,
  METRIC_SLOTS,
  METRIC_WIDTH,
  type PlannedGraph,
} from "./engine_plan.ts";
import { createParameterArrays, type ParameterArrays } from "./parameter_arrays.ts";

/** Scalars of one optimizer step. */
export interface StepOptions {
  readonly seed: number;
  /** Optimizer steps done, this one included: t of the bias corrections. */
  readonly step: number;
  readonly learningRate: number;
  /** Index of the first micro-batch in the run: names the dropout masks. */
  readonly draw: number;
  readonly lambdaClass: number;
  readonly lambdaSpan: number;
}

/** Metrics of one optimizer step, read from the ring. */
export interface StepMetrics {
  readonly step: number;
  /** Weighted losses, summed over the step's micro-batches. */
  readonly criteriaLoss: number;
  readonly spanLoss: number;
  readonly loss: number;
  /** Global gradient norm before clipping. */
  readonly gradientNorm: number;
  /** Steps skipped so far because the gradient was not finite. */
  readonly skippedSteps: number;
  /** What the loss was multiplied by in this step's backward pass: 1 in f32. */
  readonly lossScale: number;
}

/** The state of dynamic loss scaling. */
export interface LossScaleState {
  readonly scale: number;
  /** Steps with a finite gradient since the scale last changed. */
  readonly goodSteps: number;
}

/** What evaluation returns of one batch. */
export interface BatchPrediction {
  readonly batch: Batch;
  /** [B, K'], K' being the outputs of the model: one per criterion, or one for the criterion that the input names. */
  readonly probabilities: Float32Array;
  /** The spans of every (text, output) [B·K'], best first. */
  readonly spans: readonly (readonly ScoredSpan[])[];
  /** In the shape of the evidence head, when the plan keeps states. */
  readonly evidenceLogits: Float32Array | undefined;
  /** Hidden states [B, T, C] after the embeddings and each layer, when the plan keeps them. */
  readonly states: readonly Float32Array[];
}

/** Predictions over a set of batches with their mean losses. */
export interface Evaluation {
  readonly predictions: readonly BatchPrediction[];
  readonly criteriaLoss: number;
  readonly spanLoss: number;
}

/** What watches a step from within: a profiler. */
export interface StepProbe {
  /** Does a part of the CPU's work on a micro-batch: `pack` its tensors into bytes, `upload` them. */
  measure<T>(part: "pack" | "upload", work: () => T): T;
  /** Sends the programs of a micro-batch to the GPU. */
  readonly run: ProgramRunner;
}

/** An open engine. */
export interface Engine extends ParameterArrays {
  readonly plan: EnginePlan;
  readonly gpu: Gpu;
  readonly arenas: Readonly<Record<keyof EnginePlan["layouts"], Arena>>;
  /** Queues one optimizer step over its micro-batches; nothing is waited for. */
  step(batches: readonly Batch[], options: StepOptions, probe?: StepProbe): void;
  /** Queues forward and backward of one micro-batch without the optimizer: for tests of gradients. */
  gradient(batch: Batch, options: StepOptions): void;
  /** The state of an adaptive criteria loss [3K]; see `confidence_update.wgsl`. */
  confidence(): Promise<Float32Array<ArrayBuffer>>;
  /** Puts that state back. */
  loadConfidence(values: Float32Array<ArrayBuffer>): void;
  /** Waits for the GPU and returns the metrics of every step since the last call. */
  drain(): Promise<StepMetrics[]>;
  /** Whether `drain` must be called before a step of so many micro-batches. */
  mustDrain(microBatches: number): boolean;
  evaluate(batches: Iterable<Batch>, options: Pick<StepOptions, "lambdaClass" | "lambdaSpan">): Promise<Evaluation>;
  /** Waits for the GPU and returns the state of loss scaling; undefined where the loss is not scaled. */
  lossScale(): Promise<LossScaleState | undefined>;
  /** Goes on from a state of loss scaling; nothing where the loss is not scaled. */
  setLossScale(state: LossScaleState): void;
  /**
   * Queues what makes it as `openEngine` left it, so that the next run has the bits of one on a new engine: every arena is
   * zero again, and the states of losses and scaling are at their start. Programs stay. Parameters must be loaded anew.
   *
   * @throws {Error} when results of queued work are still to be read
   */
  reset(): void;
  close(): void;
}

async function allocate(gpu: Gpu, plan: EnginePlan): Promise<Record<keyof EnginePlan["layouts"], Arena>> {
  gpu.device.pushErrorScope("out-of-memory");
  const { layouts } = plan;
  const arenas = {
    parameter: createArena(gpu, layouts.parameter),
    gradient: createArena(gpu, layouts.gradient),
    moment: createArena(gpu, layouts.moment),
    average: createArena(gpu, layouts.average),
    metrics: createArena(gpu, layouts.metrics),
    input: createArena(gpu, layouts.input),
    activation: createArena(gpu, layouts.activation),
  };
  const failure = await gpu.device.popErrorScope();
  if (failure) {
    for (const arena of Object.values(arenas)) arena.destroy();
    const gigabytes = (plan.memory.total / 1e9).toFixed(2);
    throw inputError(
      `${gpu.name} refused to allocate the ${gigabytes} GB that this run needs: ${failure.message}`,
      "Lower training.batch_size or data.max_length, or choose a smaller model.id",
    );
  }
  return arenas;
}

/** Weighted labels and spans of the batches of a step: what the losses are averaged over. */
function lossScales(
  batches: readonly Batch[],
  { lambdaClass, lambdaSpan }: Pick<StepOptions, "lambdaClass" | "lambdaSpan">,
) {
  let labels = 0, spans = 0;
  for (const batch of batches) {
    const criteria = batch.labels.length / batch.size;
    labels += criteria * batch.sampleWeight.reduce((sum, weight) => sum + weight, 0);
    spans += batch.spanWeight.reduce((sum, weight) => sum + weight, 0);
  }
  return { criteriaScale: lambdaClass / Math.max(1, labels), spanScale: lambdaSpan / Math.max(1, spans) };
}

/**
 * Allocates a plan and makes it runnable. Programs are compiled when their batch shape is first used.
 *
 * @throws {WinnowError} of kind `input` when the device refuses the memory
 */
export async function openEngine(gpu: Gpu, plan: EnginePlan): Promise<Engine> {
  const arenas = await allocate(gpu, plan);
  const ring = createStepRing(gpu);
  const readback = createReadback(gpu, plan.readbackBytes);
  const programs = new Map<PlannedGraph, Program>();
  const { optimizer, model: { encoder: encoderConfig } } = plan.options;
  let nextSlot = 0;
  let undrained = 0;
  let pending: { step: number; slots: number[] }[] = [];

  /** Makes room for a graph that needs more than was planned for; nothing stays in activations from one program to the next. */
  const growActivations = ({ plan: { layout } }: PlannedGraph) => {
    const present = arenas.activation.layout.chunkBytes;
    if (layout.chunkBytes.every((bytes, chunk) => bytes <= (present[chunk] ?? 0))) return;
    for (const each of programs.values()) each.destroy();
    programs.clear();
    arenas.activation.destroy();
    arenas.activation = createArena(gpu, unionLayout([arenas.activation.layout, layout]));
  };
  const program = (planned: PlannedGraph, label: string) => {
    let recorded = programs.get(planned);
    if (!recorded) {
      growActivations(planned);
      programs.set(planned, recorded = compile(gpu, label, planned.graph, planned.plan, arenas, ring));
    }
    return recorded;
  };
  const planned = <P extends PlannedGraph>(graphs: GraphsByLength<P>, batch: Batch): P => {
    const found = graphs.get(batch.length);
    if (!found || batch.size !== plan.options.batchSize) {
      throw new WinnowError(
        "failure",
        `Expected a batch of ${plan.options.batchSize} texts of ${plan.options.lengths.join(", ")} tokens but found ` +
          `${batch.size} × ${batch.length}`,
      );
    }
    checkIds(batch, encoderConfig);
    return found;
  };
  const unwatched: StepProbe = {
    measure: (_, work) => work(),
    run: (programs, offset) => runInOnePass(gpu, programs, offset),
  };
  const { run } = unwatched;
  const upload = (batch: Batch, { measure } = unwatched) => {
    const bytes = measure("pack", () => packBatch(batch, encoderConfig));
    measure("upload", () => gpu.device.queue.writeBuffer(arenas.input.buffers[0]!, 0, bytes));
  };
  const takeSlot = () => {
    const slot = nextSlot;
    nextSlot = (nextSlot + 1) % METRIC_SLOTS;
    undrained++;
    return slot;
  };
  const scalars = (options: StepOptions, slot: number, draw: number, scales: ReturnType<typeof lossScales>) => ({
    seed: options.seed >>> 0,
    draw: draw >>> 0,
    slot,
    learningRate: options.learningRate,
    biasCorrection1: 1 - optimizer.beta1 ** options.step,
    biasCorrection2: 1 - optimizer.beta2 ** options.step,
    ...scales,
  });
  const micro = (batches: readonly Batch[], options: StepOptions, update: boolean, probe = unwatched) => {
    const scales = lossScales(batches, options);
    const graphs = batches.map((batch) => planned(plan.training, batch));
    const slots = batches.map((batch, i) => {
      const slot = takeSlot();
      upload(batch, probe);
      const sequence = [program(graphs[i]!, `training ${batch.length}`)];
      if (update && i === batches.length - 1) sequence.push(program(plan.optimizer, "optimizer"));
      probe.run(sequence, ring.push(scalars(options, slot, options.draw + i, scales)));
      return slot;
    });
    pending.push({ step: options.step, slots });
  };
  const writeMetrics = (slot: ArenaSlot, values: Float32Array<ArrayBuffer>) => {
    const { buffer, offset } = arenas.metrics.slice(slot);
    gpu.device.queue.writeBuffer(buffer, offset, values);
  };
  const readRing = async () => {
    readback.enqueue(arenas.metrics.slice(plan.slots.ring));
    const [bytes] = await readback.flush();
    return new Float32Array(bytes!);
  };

  const isScaled = plan.options.precision === "f16";
  const setLossScale = ({ scale, goodSteps }: LossScaleState) => {
    const { buffer, offset } = arenas.metrics.slice(plan.slots.lossScale);
    if (isScaled) gpu.device.queue.writeBuffer(buffer, offset, Float32Array.of(scale, goodSteps));
  };
  /** Fills in what does not start at zero. */
  const start = () => {
    const { model: { criteria }, positiveWeight } = plan.options;
    writeMetrics(plan.slots.positiveWeight, Float32Array.from(positiveWeight ?? new Array(criteria).fill(1)));
    // Half is the confidence of a guess.
    writeMetrics(plan.slots.confidence, Float32Array.from({ length: 3 * criteria }, (_, i) => i < criteria ? 0.5 : 0));
    setLossScale({ scale: LOSS_SCALE.initial, goodSteps: 0 });
  };
  start();

  return {
    plan,
    gpu,
    arenas,
    setLossScale,
    async lossScale() {
      if (!isScaled) return undefined;
      readback.enqueue(arenas.metrics.slice(plan.slots.lossScale));
      const [scale, goodSteps] = new Float32Array((await readback.flush())[0]!) as unknown as [number, number];
      return { scale, goodSteps };
    },
    step: (batches, options, probe) => micro(batches, options, true, probe),
    gradient: (batch, options) => micro([batch], options, false),
    async confidence() {
      readback.enqueue(arenas.metrics.slice(plan.slots.confidence));
      const [bytes] = await readback.flush();
      return new Float32Array(bytes!);
    },
    loadConfidence: (values) => writeMetrics(plan.slots.confidence, values),
    mustDrain: (microBatches) => undrained + microBatches > METRIC_SLOTS,
    async drain() {
      const steps = pending;
      pending = [];
      undrained = 0;
      if (steps.length === 0) return [];
      const values = await readRing();
      return steps.map(({ step, slots }) => {
        const at = (slot: number, field: number) => values[slot * METRIC_WIDTH + field]!;
        const criteriaLoss = slots.reduce((sum, slot) => sum + at(slot, 0), 0);
        const spanLoss = slots.reduce((sum, slot) => sum + at(slot, 1), 0);
        const last = slots.at(-1)!;
        return {
          step,
          criteriaLoss,
          spanLoss,
          loss: criteriaLoss + spanLoss,
          gradientNorm: at(last, 2),
          skippedSteps: at(last, 4),
          lossScale: at(last, 5),
        };
      });
    },
    async evaluate(batches, lambdas) {
      if (undrained > 0) throw new Error("Expected drain() before evaluate(): both use the metrics ring");
      const all = [...batches];
      const scales = lossScales(all, lambdas);
      const options = { ...lambdas, seed: 0, step: 1, learningRate: 0, draw: 0 };
      const predictions: BatchPrediction[] = [];
      let waiting: Batch[] = [];
      let criteriaLoss = 0, spanLoss = 0;
      const collect = async () => {
        const ranges = await readback.flush();
        const perBatch = waiting.length ? ranges.length / waiting.length : 0;
        waiting.forEach((batch, i) => {
          const [losses, probabilities, ...rest] = ranges
            .slice(i * perBatch, (i + 1) * perBatch)
            .map((bytes) => new Float32Array(bytes));
          criteriaLoss += losses![0]!;
          spanLoss += losses![1]!;
          const values = rest.splice(0, decodedCount);
          const spans = evidenceHead.read({ values, ...batch }, evidence);
          const [evidenceLogits, ...states] = rest;
          predictions.push({ batch, probabilities: probabilities!, spans, evidenceLogits, states });
        });
        waiting = [];
      };
      const metricsSlot = { ...plan.slots.ring, size: 8 };
      const evidenceHead = evidenceHeadOf(plan.options.model), evidence = evidenceOptions(plan.options.model);
      let decodedCount = 0;
      for (const batch of all) {
        const found = planned(plan.evaluation, batch);
        decodedCount = found.outputs.decoded.length;
        upload(batch);
        run(
          [program(found, `evaluation ${batch.length}`)],
          ring.push(scalars(options, 0, 0, scales)),
        );
        const kept = evaluationTensors(found.outputs, plan.options).map((tensor) => ({
          ...resolve(tensor, found.plan, arenas),
          size: elementCount(tensor.shape) * 4,
        }));
        const wanted = [arenas.metrics.slice(metricsSlot), ...kept];
        const bytes = wanted.reduce((sum, { size }) => sum + size, 0);
        if (readback.free < bytes) await collect();
        for (const slice of wanted) {
          if (!readback.enqueue(slice)) throw new RangeError(`Expected the readback to hold ${bytes} bytes`);
        }
        waiting.push(batch);
      }
      await collect();
      return { predictions, criteriaLoss, spanLoss };
    },
    ...createParameterArrays(gpu, plan, arenas, readback),
    reset() {
      if (undrained > 0 || readback.free < readback.capacity) {
        throw new Error("Expected all results to be read before reset()");
      }
      // All of it, though only moments and metrics are read before they are written: nothing is left to leak.
      const encoder = gpu.device.createCommandEncoder({ label: "reset" });
      for (const { buffers } of Object.values(arenas)) {
        for (const buffer of buffers) encoder.clearBuffer(buffer);
      }
      gpu.device.queue.submit([encoder.finish()]);
      nextSlot = 0;
      start();
    },
    close() {
      for (const each of programs.values()) each.destroy();
      for (const arena of Object.values(arenas)) arena.destroy();
      ring.destroy();
      readback.destroy();
    },
  };
}
