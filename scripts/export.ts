/** `deno task export`: a trial's model as a folder for `transformers`, and for `deno task predict --model`. */
import { EXPORT_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parseExportOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { formatBytes } from "../lib/storage/free_space.ts";
import { exportModel } from "../lib/study/export.ts";

await runCommand({
  help: EXPORT_HELP,
  parse: parseExportOptions,
  interruption: { note: "interrupted", remedy: "" },
  async main({ config: file = DEFAULT_CONFIG, overrides, to, force, studyId, trialId }, { output }) {
    const { paths } = loadConfig({ file, overrides });
    const choice = { ...(studyId === undefined ? {} : { studyId }), ...(trialId === undefined ? {} : { trialId }) };
    const result = await exportModel(paths.experiments, choice, { to, force }, output.say);
    output.say(`exported     trial ${result.trial_id}: ${formatBytes(result.bytes)} in ${result.folder}`);
    return result;
  },
});
