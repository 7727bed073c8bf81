/**
 * Peak bytes of a study's checkpoints under three rules: keep all, the last and the best of each trial, Winnow's defaults.
 * `deno task bench:retention [--json] [--folders]`; --folders also runs it in real folders of sparse files.
 */
import { folderBytes, formatBytes } from "../lib/storage/disk.ts";
import {
  BERT_BASE,
  DEFAULT_POLICY,
  runInFolders,
  runVirtually,
  simulatedValue,
} from "../tests/support/simulated_study.ts";

const TRIALS = 1000, EPOCHS = 10;
const weights = BERT_BASE.weights + BERT_BASE.rest, { optimizer } = BERT_BASE;
const run = { policy: DEFAULT_POLICY, nTrials: TRIALS, epochs: EPOCHS, weights, optimizer, value: simulatedValue };

const each = weights + optimizer;
const all = TRIALS * EPOCHS * each;
// Trainers that keep the last and the best of each run keep both whole; the best of a trial may be its last.
const lastAndBest = Array.from({ length: TRIALS }, (_, trial) => {
  const values = Array.from({ length: EPOCHS }, (_, i) => simulatedValue(trial, i + 1));
  return values.indexOf(Math.max(...values)) === EPOCHS - 1 ? each : 2 * each;
}).reduce((sum, bytes) => sum + bytes, each);
const study = runVirtually(run);
const result: Record<string, number> = {
  checkpoint_bytes: each,
  keep_all_bytes: all,
  last_and_best_bytes: lastAndBest,
  winnow_peak_bytes: study.peakBytes,
  winnow_end_bytes: study.checkpoints.reduce((sum, one) => sum + one.bytes, 0),
};
if (Deno.args.includes("--folders")) {
  const folder = await Deno.makeTempDir({ prefix: "winnow-retention-", dir: "/dev/shm" }).catch(() =>
    Deno.makeTempDir({ prefix: "winnow-retention-" })
  );
  let peak = 0;
  const started = performance.now();
  try {
    await runInFolders(folder, run, async (trial) => {
      // All folders are measured in some trials, where all others have been swept.
      if (trial % 25 === 0) peak = Math.max(peak, await folderBytes(folder));
    });
    result["folders_peak_bytes"] = peak;
    result["folders_end_bytes"] = await folderBytes(folder);
    result["folders_seconds"] = (performance.now() - started) / 1000;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
if (Deno.args.includes("--json")) console.log(JSON.stringify(result));
else {
  const row = (name: string, bytes: number) =>
    `| ${name} | ${formatBytes(bytes)} | ${(100 * bytes / all).toPrecision(2)}% |`;
  console.log(`${TRIALS} trials of ${EPOCHS} epochs, ${formatBytes(each)} a checkpoint\n`);
  console.log("| rule | peak | of keep-all |\n| --- | ---: | ---: |");
  console.log(row("keep all", all));
  console.log(row("last and best of each trial", lastAndBest));
  console.log(row("Winnow's defaults", study.peakBytes));
  for (const [name, value] of Object.entries(result)) if (name.startsWith("folders")) console.log(`${name} ${value}`);
}
