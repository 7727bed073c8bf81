/**
 * The record of every look at a study's test split, with the study in its database: deleting a report does not make the
 * next look the first. What was chosen after a look is no longer chosen blindly, so a repeat is told to be one.
 */
import { z } from "zod";
import { setStudyAttribute, type StoredStudy, type StudyDatabase } from "../hpo/study_db.ts";
import { type TestEvaluation, testEvaluationSchema } from "../report/schema.ts";
import { storageError } from "../support/errors.ts";

const TEST_EVALUATIONS = "winnow:test_evaluations";

/** All looks at the test split so far, the first first. @throws a storage error when the record is damaged */
export function testEvaluations({ id, userAttributes }: StoredStudy): TestEvaluation[] {
  const found = z.array(testEvaluationSchema).safeParse(userAttributes[TEST_EVALUATIONS] ?? []);
  if (found.success) return found.data;
  throw storageError(
    `study ${id} holds a damaged record of its looks at the test split: ${z.prettifyError(found.error)}`,
    "Restore study.db from a copy",
  );
}

/**
 * Records a look at the test split, and says so where it is a repeat.
 *
 * @param study as it is stored now
 * @returns all looks, this one last
 */
export function recordTestEvaluation(
  db: StudyDatabase,
  study: StoredStudy,
  look: Pick<TestEvaluation, "trial_id" | "checkpoints">,
  say: (text: string) => void,
): TestEvaluation[] {
  const earlier = testEvaluations(study);
  const all = [...earlier, { time: new Date().toISOString(), ...look, repeat: earlier.length > 0 }];
  setStudyAttribute(db, study, TEST_EVALUATIONS, all);
  if (earlier.length > 0) {
    say(
      `note: the test split of this study was evaluated before (${earlier.length} ${
        earlier.length === 1 ? "time" : "times"
      }, first at ${earlier[0]!.time}): this is a repeat, recorded as such`,
    );
  }
  return all;
}
