/**
 * What every tracking store can do. The seam is data: whoever writes events to disk first, or keeps them while a server
 * is away, stores `TrackingOperation`s and gives them to `deliver` later. Each operation may be given twice: a store
 * holds it once.
 *
 * Runs go by ids of our own (the uuid of a study or trial), so that a run can be named before a server has ever heard
 * of it; the store finds its own id for it, by the tag `winnow.run_id`.
 */

/** One value of a metric. (run, metric, step, timestamp) names it; a store keeps it once, however often it is logged. */
export interface MetricEvent {
  /** Our id of the run: a uuid. */
  readonly run_id: string;
  /** Any text; stores map what they cannot hold (`metricKey`). */
  readonly metric: string;
  /** A whole number. */
  readonly step: number;
  /** NaN and infinities are values too. JSON has none of them: a file of events writes them as texts. */
  readonly value: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

/** A run, when it begins or goes on. */
export interface RunDescription {
  readonly run_id: string;
  /** A name for people. */
  readonly name: string;
  /** Our id of the run that it belongs to. */
  readonly parent_id?: string;
  /** Milliseconds since 1970. */
  readonly start_time: number;
  readonly tags: Readonly<Record<string, string>>;
}

/** What is logged of one run at once. Params are set once and stay; tags may change. */
export interface Batch {
  readonly run_id: string;
  readonly metrics?: readonly MetricEvent[];
  readonly params?: Readonly<Record<string, string>>;
  readonly tags?: Readonly<Record<string, string>>;
}

/** How a run ends: MLflow's words. */
export type RunStatus = "FINISHED" | "FAILED" | "KILLED";

/** A file that goes with a run: its text, or where it lies. */
export interface Artifact {
  readonly run_id: string;
  /** Its path within the run's artifacts. */
  readonly path: string;
  readonly content: { readonly text: string } | { readonly file: string };
}

/** The end of a run. */
export interface RunEnd {
  readonly run_id: string;
  readonly status: RunStatus;
  /** Milliseconds since 1970. */
  readonly end_time: number;
}

/** One thing to be done in a store, as data. */
export type TrackingOperation =
  | { readonly type: "open"; readonly run: RunDescription }
  | { readonly type: "log"; readonly batch: Batch }
  | { readonly type: "artifact"; readonly artifact: Artifact }
  | { readonly type: "end"; readonly end: RunEnd };

/**
 * A tracking store. Every method may be called again with the same arguments. They throw `TrackerAway` where the cause
 * may pass by itself and nothing is lost by trying later, and a WinnowError with a remedy where trying again is of no use.
 */
export interface Tracker extends AsyncDisposable {
  /** The store for people: a file, or a server's address. */
  readonly where: string;
  /** Creates the run, or opens it again where it is there. */
  openRun(run: RunDescription): Promise<void>;
  /** Metrics, then tags, then params: a param that contradicts an earlier value holds up nothing else. */
  logBatch(batch: Batch): Promise<void>;
  logArtifact(artifact: Artifact): Promise<void>;
  endRun(end: RunEnd): Promise<void>;
  /** The steps at which the run has each metric, by `metricKey` of the metric's name. */
  loggedSteps(runId: string): Promise<Map<string, Set<number>>>;
}

/** The store does not answer now, or is busy: no connection, a time-out, 408, 429, 5xx, a locked or full database. */
export class TrackerAway extends Error {
  override name = "TrackerAway";
  constructor(
    message: string,
    /** Milliseconds that it asks to wait. */ readonly retryAfter = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Does one thing in a store. @throws what the store throws */
export async function deliver(tracker: Tracker, operation: TrackingOperation): Promise<void> {
  switch (operation.type) {
    case "open":
      return await tracker.openRun(operation.run);
    case "log":
      return await tracker.logBatch(operation.batch);
    case "artifact":
      return await tracker.logArtifact(operation.artifact);
    case "end":
      return await tracker.endRun(operation.end);
  }
}
