/** The storage of a running study: its checkpoints kept within the policy, its disk watched, a reserve for its last words. */
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { listTrials, setStudyAttribute, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { isOwn, summarizeTrial, type TrialSummary } from "../hpo/trial_summary.ts";
import { listCheckpoints } from "../storage/checkpoint.ts";
import { formatBytes } from "../storage/free_space.ts";
import { type Keeper, openKeeper, type RetentionEvent } from "../storage/keeper.ts";
import { checkpointsFolder } from "../storage/layout.ts";
import { type MonitorReading, startMonitor } from "../storage/monitor.ts";
import { giveUpReserve, takeReserve } from "../storage/reserve.ts";
import type { StudyPolicy, TrialStanding } from "../storage/retention_decision.ts";
import { isFullDiskError } from "../storage/usage.ts";
import { parseByteSize } from "../support/byte_size.ts";
import { isThere } from "../support/file_system.ts";
import type { Logger } from "../support/logging.ts";

/** The study attribute that holds the number of the first trial that is held to the least, where the disk was short. */
const TIGHT_FROM = "winnow:tight_from";

/** From which trial on a study is held to keep_best_k=1 and keep_last_n=0; null where the disk was never short. */
export function tightFromOf({ userAttributes }: StoredStudy): number | null {
  const from = userAttributes[TIGHT_FROM];
  return typeof from === "number" && Number.isSafeInteger(from) && from >= 0 ? from : null;
}

/** What keeps a study's storage in order while it runs. */
export interface StudyStorage extends Disposable {
  readonly keeper: Keeper;
  /** Whether the monitor has found little room. */
  readonly isCritical: () => boolean;
  /** Where events go from now on: the log of the trial that runs, or of the study. */
  useLog(log: Logger): void;
  /** Runs `body`, and on a full disk once more without the reserve. */
  withReserve<T>(body: () => T): T;
}

/** The policy of a configuration. */
export function studyPolicy({ retention }: Config): StudyPolicy {
  const { keep_last_n, keep_best_k, keep_best_k_max, max_total_size, pruning_strategy } = retention;
  const maxTotalBytes = parseByteSize(max_total_size);
  return { keep_last_n, keep_best_k, keep_best_k_max, maxTotalBytes, strategy: pruning_strategy };
}

/** The trials of a study as retention sees them; those that other programs have added have no checkpoints. */
export function trialStandings(db: StudyDatabase, study: StoredStudy): TrialStanding[] {
  return listTrials(db, study).filter(isOwn).map(summarizeTrial)
    .map(({ trial_id: id, number, state, value }) => ({ id, number, state, value }));
}

/** Bytes of the checkpoints that a study has on disk. */
export async function studyCheckpointBytes(
  db: StudyDatabase,
  study: StoredStudy,
  experiments: string,
): Promise<number> {
  let bytes = 0;
  for (const { id } of trialStandings(db, study)) {
    for (const one of await listCheckpoints(checkpointsFolder(experiments, id))) bytes += one.bytes;
  }
  return bytes;
}

/** The summary of a trial, with no checkpoint where retention has removed it. */
export async function withStoredCheckpoint(experiments: string, trial: TrialSummary): Promise<TrialSummary> {
  if (trial.checkpoint === null) return trial;
  return await isThere(join(experiments, trial.checkpoint)) ? trial : { ...trial, checkpoint: null };
}

/** Where a study's storage tells what happens. */
export interface StorageOutputs {
  readonly log: Logger;
  /** For what a person at the terminal should know at once: warnings. */
  say(text: string): void;
}

/** Starts keeping and watching a study's storage. */
export async function openStudyStorage(
  db: StudyDatabase,
  study: StoredStudy,
  config: Config,
  outputs: StorageOutputs,
): Promise<StudyStorage> {
  const { say } = outputs;
  const { experiments } = config.paths;
  const { disk_space_threshold_percent: thresholdPercent, monitor_interval_seconds } = config.retention;
  await takeReserve(experiments);
  const asStorage = (log: Logger) => log.with({ component: "storage" });
  let log = asStorage(outputs.log);
  const logReading = ({ level, message, freeBytes, totalBytes }: MonitorReading) => {
    const details = { free_bytes: freeBytes, total_bytes: totalBytes };
    if (level === "INFO") log.info(message, details);
    else if (level === "WARNING") log.warning(message, details);
    else log.error(message, details);
  };
  const monitor = startMonitor({
    folder: experiments,
    intervalSeconds: monitor_interval_seconds,
    thresholdPercent,
    onReading: (reading) => {
      logReading(reading);
      if (reading.level !== "INFO") say(`${reading.level.toLowerCase()}: ${reading.message}`);
    },
  });
  const isCritical = () => monitor.isCritical();
  const onEvent = (event: RetentionEvent) => {
    if (event.type === "warning") {
      log.warning(event.message);
      say(`warning: ${event.message}`);
      return;
    }
    const { removed, reduced, pressure, freedBytes, bytes } = event;
    log.info("checkpoints pruned", { removed, optimizer_dropped: reduced, pressure, freed_bytes: freedBytes, bytes });
    if (pressure > 1) say(`storage      ${formatBytes(freedBytes)} of checkpoints pruned to make room`);
  };
  const tightFrom = tightFromOf(study);
  if (tightFrom !== null) {
    log.info("storage was short in an earlier run: the study keeps the least", { tight_from: tightFrom });
  }
  const keeper = openKeeper({
    tightFrom,
    storeTight: (from) => setStudyAttribute(db, study, TIGHT_FROM, from),
    experiments,
    policy: studyPolicy(config),
    metric: config.study.metric,
    direction: config.study.direction,
    thresholdPercent,
    trials: () => trialStandings(db, study),
    isCritical,
    onEvent,
  });
  return {
    keeper,
    isCritical,
    useLog: (next) => void (log = asStorage(next)),
    withReserve(body) {
      try {
        return body();
      } catch (error) {
        if (!isFullDiskError(error) || !giveUpReserve(experiments)) throw error;
        log.warning("the disk is full: the reserve is given up");
        return body();
      }
    },
    [Symbol.dispose]: () => {
      monitor[Symbol.dispose]();
      giveUpReserve(experiments);
    },
  };
}
