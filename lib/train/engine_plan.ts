/**
 * What a run needs of the GPU, worked out before anything is allocated: the graphs of every batch shape, their memory
 * plans, and the bytes of each arena.
 */
import { type ArenaLayout, layoutSequential } from "../gpu/arena.ts";
import type { Gpu } from "../gpu/device.ts";
import { programUniformBytes, STEP_RING_BYTES } from "../gpu/program.ts";
import { createGraph, type Graph, type RecomputeLevel, type Target, targetOf } from "../graph/graph.ts";
import { clipAndUpdate, LOSS_SCALE, momentLayout, type OptimizerOptions } from "../graph/optimizer.ts";
import { foldConfidence } from "../graph/ops/losses.ts";
import { averagedParameters, layoutParameters, type ParameterSet } from "../graph/parameters.ts";
import { type MemoryPlan, planMemory, unionLayout } from "../graph/plan.ts";
import { elementCount, type ElementType, type Tensor } from "../graph/tensor.ts";
import {
  type DualAgentConfig,
  dualAgentParameters,
  evaluationGraph,
  type EvaluationOutputs,
  trainingGraph,
} from "../model/dual_agent.ts";
import { batchTensors, inputBytes } from "../model/inputs.ts";
import { type LearningRateOptions, scaleLearningRates } from "../model/parameter_groups.ts";

/** What an engine is built for. */
export interface EngineOptions {
  readonly model: DualAgentConfig;
  readonly optimizer: OptimizerOptions;
  /** Learning rates by depth; one for all unless given. */
  readonly learningRates?: LearningRateOptions;
  /** Size of the adversarial perturbation of the word embeddings; none unless given. */
  readonly adversarialEpsilon?: number;
  /** Texts per micro-batch. */
  readonly batchSize: number;
  /** Lengths in tokens that batches may have; memory is planned for the longest. */
  readonly lengths: readonly number[];
  /** What the backward pass computes again instead of keeping it; `none` unless given. */
  readonly recompute?: RecomputeLevel;
  /**
   * How training stores activations that the backward pass reads, and gradients between ops: `f32` unless given. `f16`
   * scales the loss. Parameters, their gradients, moments, all arithmetic and evaluation are f32 either way.
   */
  readonly precision?: ElementType;
  /** Good steps in a row after which the loss scale doubles; `LOSS_SCALE` unless given. */
  readonly growthInterval?: number;
  /** The fastest variant of a matrix product where it is known; all of them give the same bits. */
  readonly variantOf?: Target["variantOf"];
  /** [K] weights of positive labels, where the loss has them; 1 unless given. */
  readonly positiveWeight?: readonly number[];
  /** Keeps every hidden state of evaluation readable: for tests. */
  readonly keepStates?: boolean;
}

/** Bytes of GPU memory by purpose. */
export interface MemoryForecast {
  readonly parameters: number;
  readonly gradients: number;
  readonly moments: number;
  /** Moving averages of the parameters; 0 where none are kept. */
  readonly averages: number;
  readonly activations: number;
  readonly inputs: number;
  /** Readback staging, metrics ring and uniforms. */
  readonly buffers: number;
  readonly total: number;
}

/** The graphs of batches by their length in tokens, each built and planned when it is first asked for. */
export interface GraphsByLength<P extends PlannedGraph> {
  /** The graph of a length, undefined where the engine has no such length. */
  get(length: number): P | undefined;
}

/** A graph with its plan. */
export interface PlannedGraph {
  readonly graph: Graph;
  readonly plan: MemoryPlan;
}

/** Everything an engine will allocate and run. */
export interface EnginePlan {
  readonly options: EngineOptions;
  readonly target: Target;
  readonly parameters: ParameterSet;
  readonly training: GraphsByLength<PlannedGraph>;
  readonly evaluation: GraphsByLength<PlannedGraph & { readonly outputs: EvaluationOutputs }>;
  readonly optimizer: PlannedGraph;
  /** Places in the metrics arena. */
  readonly slots: ReturnType<typeof metricsLayout>["slots"];
  readonly layouts: {
    readonly parameter: ArenaLayout;
    readonly gradient: ArenaLayout;
    readonly moment: ArenaLayout;
    readonly average: ArenaLayout;
    readonly metrics: ArenaLayout;
    readonly input: ArenaLayout;
    readonly activation: ArenaLayout;
  };
  readonly readbackBytes: number;
  readonly memory: MemoryForecast;
}

/** Micro-batches whose metrics fit in the ring before they must be read. */
export const METRIC_SLOTS = 512;
/** Floats per slot of the metrics ring; see `loss_record.wgsl`. */
export const METRIC_WIDTH = 8;

/** Smallest readback staging buffer: large tensors are read in pieces of it. */
const READBACK_BYTES = 8 * 2 ** 20;

/** What stands on the GPU beside arrays and activations, by criteria K. */
function metricsLayout(criteria: number) {
  const sizes = [16, METRIC_SLOTS * METRIC_WIDTH * 4, criteria * 4, 3 * criteria * 4, 8];
  const { slots, layout } = layoutSequential("metrics", sizes, Infinity);
  const [control, ring, positiveWeight, confidence, lossScale] = slots;
  return {
    slots: {
      control: control!,
      ring: ring!,
      positiveWeight: positiveWeight!,
      confidence: confidence!,
      lossScale: lossScale!,
    },
    layout,
  };
}

/** The optimizer's control scalars, the metrics ring and the states of criteria loss and loss scaling as tensors of a graph. */
function metricsTensors(g: Graph, { slots }: ReturnType<typeof metricsLayout>, criteria: number) {
  return {
    control: g.fixed("control", [4], "metrics", slots.control),
    ring: g.fixed("metrics ring", [METRIC_SLOTS, METRIC_WIDTH], "metrics", slots.ring),
    positiveWeight: g.fixed("positive weight", [criteria], "metrics", slots.positiveWeight),
    confidence: g.fixed("confidence", [3 * criteria], "metrics", slots.confidence),
    lossScale: g.fixed("loss scale", [2], "metrics", slots.lossScale),
  };
}

/** How fast the running confidence follows: a step counts for a tenth. */
const CONFIDENCE_MOMENTUM = 0.1;

/** What one batch of evaluation reads back, in this order. */
export function evaluationTensors(outputs: EvaluationOutputs, { keepStates = false }: EngineOptions): Tensor[] {
  return [
    outputs.probabilities,
    ...outputs.decoded,
    ...(keepStates ? [outputs.evidenceLogits, ...outputs.states] : []),
  ];
}

function graphsByLength<P extends PlannedGraph>(
  lengths: readonly number[],
  build: (length: number) => P,
): GraphsByLength<P> {
  const built = new Map<number, P>();
  return {
    get(length) {
      const known = built.get(length);
      if (known || !lengths.includes(length)) return known;
      const graph = build(length);
      built.set(length, graph);
      return graph;
    },
  };
}

/** Refuses tensors that are bound whole and over the adapter's limit: recording would find them only in training. */
function checkBindings(graphs: readonly PlannedGraph[], limit: number): void {
  for (const { graph } of graphs) {
    for (const bound of graph.calls.flatMap(({ bindings }) => Object.values(bindings))) {
      const [name, bytes] = "tensor" in bound ? [bound.tensor.name, bound.size] : [bound.name, bound.bytes];
      if (bytes > limit) {
        throw new RangeError(`${name}: ${bytes} bytes are over the adapter's binding limit of ${limit}`);
      }
    }
  }
}

/**
 * Plans an engine for a target; `gpu` gives the limits.
 *
 * @throws {RangeError} when a tensor is larger than a buffer or a binding of the adapter may be
 */
export function planEngine(
  gpu: Pick<Gpu, "limits" | "preset" | "subgroupSize">,
  options: EngineOptions,
  target: Target = { ...targetOf(gpu), variantOf: options.variantOf },
): EnginePlan {
  const { model, batchSize, lengths, precision = "f32" } = options;
  const { learningRates = { differentialRatio: 1, layerDecay: 1 } } = options;
  const layers = model.encoder.num_hidden_layers;
  const parameters = layoutParameters(scaleLearningRates(dualAgentParameters(model), layers, learningRates), target);
  const averaged = options.optimizer.averageDecay !== undefined;
  const evaluated = averaged ? averagedParameters(parameters) : parameters;
  const metrics = metricsLayout(model.criteria);
  const bindTo = (length: number) => (g: Graph) => ({
    inputs: batchTensors(g, { size: batchSize, length, criteria: model.criteria }),
    ...metricsTensors(g, metrics, model.criteria),
  });
  const training = graphsByLength(lengths, (length) => {
    const { graph } = trainingGraph(target, model, parameters, bindTo(length), options);
    return { graph, plan: planMemory(graph) };
  });
  const evaluation = graphsByLength(lengths, (length) => {
    const { keepStates = false } = options;
    const { graph, outputs } = evaluationGraph(target, model, evaluated, bindTo(length), { keepStates });
    return { graph, outputs, plan: planMemory(graph) };
  });
  const update = createGraph(target, true);
  const { control, ring, confidence, lossScale: state } = metricsTensors(update, metrics, model.criteria);
  const { growthInterval = LOSS_SCALE.growthInterval } = options;
  const scaling = precision === "f16" ? { state, growthInterval } : undefined;
  clipAndUpdate(update, parameters, options.optimizer, control, ring, scaling);
  if (model.loss.adaptive) foldConfidence(update, confidence, CONFIDENCE_MOMENTUM);
  const optimizer = { graph: update, plan: planMemory(update) };

  // The longest rows take the most: of every tensor, and so of the arena, which grows should a shorter length need more.
  const longest = Math.max(...lengths);
  const [train, evaluate] = [training.get(longest)!, evaluation.get(longest)!];
  const graphs = [train, evaluate, optimizer];
  checkBindings(graphs, gpu.limits.maxStorageBufferBindingSize);
  const inputTotal = inputBytes({ size: batchSize, length: longest, criteria: model.criteria });
  const readbackBytes = Math.max(
    READBACK_BYTES,
    METRIC_SLOTS * METRIC_WIDTH * 4,
    evaluationTensors(evaluate.outputs, options).reduce((sum, tensor) => sum + elementCount(tensor.shape) * 4, 256),
  );
  const layouts = {
    parameter: parameters.layout,
    gradient: { ...parameters.trainedLayout, label: "gradients" },
    moment: momentLayout(parameters, options.optimizer.name),
    average: averaged
      ? { ...parameters.trainedLayout, label: "averages" }
      : { label: "averages", chunkBytes: [], totalBytes: 0 },
    metrics: metrics.layout,
    input: { label: "inputs", chunkBytes: [inputTotal], totalBytes: inputTotal },
    activation: unionLayout(graphs.map(({ plan }) => plan.layout)),
  };
  const uniformBytes = ({ graph }: PlannedGraph) => programUniformBytes(gpu, graph.calls.length);
  const uniforms = lengths.length * (uniformBytes(train) + uniformBytes(evaluate)) + uniformBytes(optimizer);
  const memory = {
    parameters: layouts.parameter.totalBytes,
    gradients: layouts.gradient.totalBytes,
    moments: layouts.moment.totalBytes,
    averages: layouts.average.totalBytes,
    activations: layouts.activation.totalBytes,
    inputs: inputTotal,
    buffers: readbackBytes + layouts.metrics.totalBytes + uniforms + STEP_RING_BYTES,
  };
  const total = Object.values(memory).reduce((sum, bytes) => sum + bytes, 0);
  return {
    options,
    target,
    parameters,
    training,
    evaluation,
    optimizer,
    slots: metrics.slots,
    layouts,
    readbackBytes,
    memory: { ...memory, total },
  };
}
