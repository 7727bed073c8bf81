/** `deno task evaluate`: the best checkpoint of a study or of one trial on the test or the validation split. */
import { EVALUATE_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parseEvaluateOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { studyProgress } from "../lib/cli/study_progress.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { evaluateOneTrial, evaluateOnValidation, evaluateStudy } from "../lib/study/conclude.ts";

await runCommand({
  help: EVALUATE_HELP,
  parse: parseEvaluateOptions,
  async main(options, { signal, output }) {
    const config = loadConfig({ file: options.config ?? DEFAULT_CONFIG, overrides: options.overrides });
    const { experiments } = config.paths;
    const hooks = studyProgress(output);
    if (options.split === "validation") return await evaluateOnValidation(experiments, options, signal, hooks);
    return "studyId" in options
      ? await evaluateStudy(experiments, options.studyId, signal, hooks)
      : await evaluateOneTrial(experiments, options.trialId, signal, hooks);
  },
});
