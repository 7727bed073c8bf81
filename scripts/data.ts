/** `deno task data`: what is in a dataset, and whether it can be trained on. */
import { DATA_HELP } from "../lib/cli/help.ts";
import { parseDataOptions } from "../lib/cli/options.ts";
import { writeStream } from "../lib/cli/output.ts";
import { runCommand } from "../lib/cli/run.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { dataTable } from "../lib/report/data_table.ts";
import { reportData } from "../lib/study/data_report.ts";

await runCommand({
  help: DATA_HELP,
  parse: parseDataOptions,
  async main({ config: file, overrides }, { signal, output }) {
    const terminal = Deno.stderr.isTerminal();
    const show = (text: string) => terminal && writeStream(2, `\r\x1b[K${text}`);
    const stage = (what: string) => show(`${what} …`);
    const report = await reportData(loadConfig({ file, overrides }), signal, stage).finally(() => show(""));
    output.say(dataTable(report));
    return report;
  },
});
