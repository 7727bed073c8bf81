/** `deno task profile`: where the time of a training step goes, kernel by kernel. */
import { PROFILE_HELP } from "../lib/cli/help.ts";
import { parseProfileOptions } from "../lib/cli/options.ts";
import { writeStream } from "../lib/cli/output.ts";
import { runCommand } from "../lib/cli/run.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { profileTable } from "../lib/report/profile_table.ts";
import { profileTraining } from "../lib/study/profile.ts";
import { METRICS } from "../lib/train/metrics.ts";

await runCommand({
  help: PROFILE_HELP,
  interruption: { note: "interrupted", remedy: "" },
  parse: parseProfileOptions,
  async main({ config: file, overrides, ...request }, { signal, output }) {
    const terminal = Deno.stderr.isTerminal();
    const show = (text: string) => terminal && writeStream(2, `\r\x1b[K${text}`);
    const config = loadConfig({ file, overrides, knownMetrics: METRICS.map(({ name }) => name) });
    const stage = (what: string) => show(`${what} …`);
    const report = await profileTraining(config, request, signal, stage).finally(() => show(""));
    output.say(profileTable(report));
    return report;
  },
});
