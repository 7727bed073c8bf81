/** `deno task translate`: the evidence of the training split to another language and back. */
import { TRANSLATE_HELP } from "../lib/cli/help.ts";
import { parseTranslateOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { countProgress } from "../lib/cli/count_progress.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { translateEvidence } from "../lib/study/translate.ts";

await runCommand({
  help: TRANSLATE_HELP,
  parse: parseTranslateOptions,
  async main({ config: file, overrides }, { signal, output }) {
    const progress = countProgress(output, "sentences");
    try {
      return await translateEvidence(loadConfig({ file, overrides }), signal, progress);
    } finally {
      progress.stop();
    }
  },
});
