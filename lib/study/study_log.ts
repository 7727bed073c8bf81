/**
 * The logs of a study: each event of its trials, with how far the study is, in `study_<uuid>/logs` and in the trial's own. A
 * trial's logs hold its steps and epochs besides.
 */
import { join } from "node:path";
import { progressFields, type StudyEvent } from "../hpo/study_progress.ts";
import { studyFolder, trialFolder } from "../storage/layout.ts";
import { giveUpReserve } from "../storage/reserve.ts";
import { createLogger, type Logger, openLogFiles } from "../support/logging.ts";

/** Open logs of a study. */
export interface StudyLog extends Disposable {
  /** The logger of what belongs to no trial. */
  readonly study: Logger;
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

/**
 * Opens the logs of a study that optimises `metric`. On a full disk they take what is reserved for them.
 *
 * @param say Is told when even so something was lost.
 */
export function openStudyLog(
  experiments: string,
  studyId: string,
  metric: string,
  say: (text: string) => void,
): StudyLog {
  const open = (folder: string) => {
    const files = openLogFiles(join(folder, "logs"), { onFull: () => void giveUpReserve(experiments) });
    const close = () => {
      const lost = files.close();
      if (lost > 0) say(`warning: ${lost} bytes of the log in ${join(folder, "logs")} met a full disk and are lost`);
    };
    return { sink: files.sink, close };
  };
  const files = open(studyFolder(experiments, studyId));
  let current: { id: string; files: typeof files } | undefined;
  const close = () => {
    current?.files.close();
    current = undefined;
  };
  return {
    study: createLogger([files.sink], { component: "study" }),
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
        current = { id, files: open(trialFolder(experiments, id)) };
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
