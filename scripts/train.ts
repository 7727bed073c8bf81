/** `deno task train`: a study, one trial, or the checks only. */
import { TRAIN_HELP } from "../lib/cli/help.ts";
import { parseTrainOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { studyProgress } from "../lib/cli/study_progress.ts";
import { configToYaml, loadConfig } from "../lib/config/compose.ts";
import { configFor, dryRun, startStudy } from "../lib/study/study.ts";
import { METRICS } from "../lib/train/metrics.ts";

await runCommand({
  help: TRAIN_HELP,
  parse: parseTrainOptions,
  async main({ config: file, overrides, mode, cfg, samples, json }, { signal, output }) {
    const config = loadConfig({ file, overrides, knownMetrics: METRICS.map(({ name }) => name) });
    if (cfg) {
      if (!json) output.say(configToYaml(config).trimEnd());
      return config;
    }
    const hooks = studyProgress(output);
    try {
      if (mode === "dry-run") return await dryRun(config, signal, hooks, samples);
      return await startStudy(configFor(config, mode), signal, hooks);
    } finally {
      hooks.stop();
    }
  },
});
