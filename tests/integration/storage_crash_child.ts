/** A trainer reduced to its checkpoints, to be killed: saves, replaces, reduces and removes them until it is. */
import { cleanPartials, latestValid } from "../../lib/storage/checkpoint.ts";
import { applyRetention } from "../support/apply_retention.ts";
import { saveEpoch } from "../unit/storage_scenario.ts";

const parent = Deno.args[0]!;
const rule = { policy: { keep_last_n: 2, keep_best_k: 1 }, metric: "macro_f1", direction: "maximize" } as const;

await cleanPartials(parent);
await applyRetention(parent, rule);
let epoch = (await latestValid(parent, { resumable: true }))?.info.epoch ?? 0;
for (;;) {
  epoch++;
  await saveEpoch(parent, epoch, Math.sin(epoch * 7), 300_000);
  console.log(`saved ${epoch}`);
  // Now and then the same once more, as after a fall back to an earlier checkpoint.
  if (epoch % 4 === 0) await saveEpoch(parent, epoch, Math.sin(epoch * 7), 300_000);
  await applyRetention(parent, rule);
}
