/** `deno task report`: a study as one HTML file. */
import { REPORT_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parseReportOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { formatBytes } from "../lib/storage/free_space.ts";
import { evidenceExampleMaker } from "../lib/study/evidence_examples.ts";
import { reportStudy } from "../lib/study/study_report.ts";

await runCommand({
  help: REPORT_HELP,
  parse: parseReportOptions,
  async main({ config: file = DEFAULT_CONFIG, overrides, studyId, withText }, { signal, output }) {
    const { experiments } = loadConfig({ file, overrides }).paths;
    const examples = withText ? evidenceExampleMaker(experiments, signal, output.say) : null;
    const result = await reportStudy(experiments, studyId, examples);
    output.say(`${result.trials} trials of study ${result.study_id}: ${result.report}, ${formatBytes(result.bytes)}`);
    if (result.with_text) output.say("It holds text of posts; `deno task cleanup --data --execute` removes it.");
    return result;
  },
});
