/** What a study says it will take on disk before it begins: the largest trial of its search, and the cap. */
import assert from "node:assert/strict";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";
import { assertRefused } from "../support/refusals.ts";

Deno.test("the preflight is of the largest checkpoint that the search allows, and names the study's peak and cap", async () => {
  await withFolder(async (folder) => {
    const dryRun = (...more: string[]) =>
      runCommand("train", ["--json", "--mode", "dry-run", `paths.experiments=${folder}`, ...TINY, ...more]);
    const storage = async (...more: string[]) =>
      resultOf<{ storage: Record<string, number> }>(await dryRun("search_space={}", ...more)).storage;
    const adamw = await storage(), sgd = await storage("training.optimizer=sgd", "training.momentum=0.9");
    assert.ok(adamw["perCheckpointBytes"]! > sgd["perCheckpointBytes"]!);
    // From the smallest configuration, axes that make checkpoints larger: optimizer, average, what is trained.
    const searched = await dryRun(
      "training.optimizer=sgd",
      "tuning.mode=lora",
      "search_space={training.optimizer: {type: categorical, choices: [sgd, adamw]}, " +
        "tuning.mode: {type: categorical, choices: [lora, full]}, training.learning_rate: {type: float, low: 1e-4, high: 1e-3}}",
      "study.n_trials=5",
    );
    const found = resultOf<{ storage: Record<string, number> }>(searched).storage;
    assert.equal(found["perCheckpointBytes"], adamw["perCheckpointBytes"]);
    assert.ok(found["studyBytes"]! > found["neededBytes"]!);
    assert.equal(found["capBytes"], 10e9);
    assert.match(
      searched.stderr,
      /^checkpoints {2}1\.51 MB each in the largest trial that search_space allows \(weights /m,
    );
    assert.match(
      searched.stderr,
      /^storage {6}up to [\d.]+ MB of checkpoints in the study at once; .* within 10\.0 GB/m,
    );
    assertRefused(await dryRun("retention.max_total_size=1 MB"), {
      code: 3,
      error: /A point to resume from and the best checkpoint take 2\.\d+ MB but retention\.max_total_size is 1\.00 MB$/,
      remedy: /Set retention\.max_total_size="2\.\d+ MB" or more, or set tuning\.mode=lora/,
    });
    assertRefused(await dryRun("retention.keep_best_k=3"), {
      error: /Expected retention\.keep_best_k_max to be at least retention\.keep_best_k 3 but found 2/,
      remedy: /Correct the configuration/,
    });
  });
});
