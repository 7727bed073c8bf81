/** `deno task resume`: continues an interrupted study, mid-trial where a checkpoint is there. */
import { RESUME_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parseResumeOptions, studyChanges } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { studyProgress } from "../lib/cli/study_progress.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { resumeStudy } from "../lib/study/study.ts";

await runCommand({
  help: RESUME_HELP,
  parse: parseResumeOptions,
  async main({ studyId, config: file = DEFAULT_CONFIG, overrides }, { signal, output }) {
    const config = loadConfig({ file, overrides });
    const hooks = studyProgress(output);
    try {
      const changes = studyChanges(config, overrides);
      return await resumeStudy(config.paths.experiments, studyId, signal, hooks, changes);
    } finally {
      hooks.stop();
    }
  },
});
