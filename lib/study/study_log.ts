/**
 * The logs of a study: each event of its trials, with how far the study is, in `study_<uuid>/logs` and in the trial's own. A
 * trial's logs hold its steps and epochs besides.
 */
import { join } from "node:path";
import { progressFields, type StudyEvent } from "../hpo/study_progress.ts";
import { studyFolder, trialFolder } from "../storage/layout.ts";
import { createLogger, type Logger, openLogFiles } from "../support/logging.ts";

/** Open logs of a study. */
export interface StudyLog extends Disposable {
  /** The logger of the trial of the latest event. */
  readonly trial: Logger;
  /** Logs what happened; the first event of a trial opens its logs, the last one closes them. */
  event(event: StudyEvent): void;
}

const ENDS: ReadonlySet<StudyEvent["type"]> = new Set([
  "trial_completed",
  "trial_pruned",
  "trial_paused",
  "trial_failed",
]);

/** Opens the logs of a study that optimises `metric`. */
export function openStudyLog(experiments: string, studyId: string, metric: string): StudyLog {
  const files = openLogFiles(join(studyFolder(experiments, studyId), "logs"));
  let current: { id: string; files: ReturnType<typeof openLogFiles> } | undefined;
  const close = () => {
    current?.files.close();
    current = undefined;
  };
  return {
    get trial() {
      return createLogger(current ? [current.files.sink] : [], {
        component: "trainer",
        ...(current ? { trial: current.id } : {}),
      });
    },
    event({ trial, progress, ...details }) {
      const { id, number } = trial;
      if (current?.id !== id) {
        close();
        current = { id, files: openLogFiles(join(trialFolder(experiments, id), "logs")) };
      }
      const { type, ...rest } = details;
      createLogger([files.sink, current.files.sink], { component: "study", trial: id })
        .info(type, { trial_number: number, metric, ...rest, ...progressFields(progress) });
      if (ENDS.has(type)) close();
    },
    [Symbol.dispose]() {
      close();
      files.close();
    },
  };
}
