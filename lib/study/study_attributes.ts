/** What every study keeps with it in the database: its configuration, its data as they were, and its name. */
import { type Config, configSchema } from "../config/schema.ts";
import type { Study } from "../hpo/study.ts";
import type { StoredStudy } from "../hpo/study_db.ts";
import { dataReference, type StudyContext } from "./trial_context.ts";

const CONFIG = "winnow:config";
const DATA = "winnow:data";
const NAME = "winnow:name";

/** What a study keeps of its beginning. */
export function studyAttributes(context: StudyContext): Record<string, unknown> {
  const { config } = context;
  return { [CONFIG]: config, [DATA]: dataReference(context), [NAME]: config.study.name };
}

/** Stores a configuration that a study goes on with. */
export function storeConfig(study: Study, config: Config): void {
  study.setUserAttribute(CONFIG, config);
}

/** A study's configuration; null where another program made it, or a version whose configurations this one cannot read. */
export function storedConfig({ userAttributes }: StoredStudy): Config | null {
  const parsed = configSchema.safeParse(userAttributes[CONFIG]);
  return parsed.success ? parsed.data : null;
}

/** The data that a study began with; undefined where another program made it. */
export function storedData({ userAttributes }: StoredStudy): ReturnType<typeof dataReference> | undefined {
  return userAttributes[DATA] as ReturnType<typeof dataReference> | undefined;
}
