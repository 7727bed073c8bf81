/** `deno task cleanup`: what can go from the experiments folder, and its deletion. */
import { CLEANUP_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parseCleanupOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { cleanUp, cleanupText } from "../lib/study/cleanup.ts";

await runCommand({
  help: CLEANUP_HELP,
  parse: parseCleanupOptions,
  async main({ config: file = DEFAULT_CONFIG, overrides, execute, studyId, data, posts }, { output }) {
    const config = loadConfig({ file, overrides });
    const report = await cleanUp(config.paths.experiments, { execute, studyId, data, posts, config });
    output.say(cleanupText(report));
    return report;
  },
});
