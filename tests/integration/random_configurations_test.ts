/** A fixed sample of the full search space: `deno task bench:configurations` draws a larger one. */
import assert from "node:assert/strict";
import { drawParams, openSample, sampledSpace, STEPS, tryConfiguration } from "../../bench/configuration_sample.ts";
import { withFolder } from "../support/commands.ts";

/** A seed whose 20 configurations have every choice of the space somewhere. */
const SEED = 85;

Deno.test("random configurations of the full space train, and learn one batch", async (t) => {
  await withFolder(async (folder) => {
    const study = await openSample(folder);
    const space = sampledSpace();
    const drawn = Array.from({ length: 20 }, (_, index) => drawParams(space, SEED, index));
    for (const { name: key, distribution } of space.parameters) {
      if (distribution.type !== "categorical" || key === "augmentation.methods") continue;
      const missing = distribution.choices.filter((choice) => !drawn.some((params) => params[key] === choice));
      assert.deepEqual(missing, [], `no configuration has these values of ${key}: choose another seed`);
    }
    for (const [index, params] of drawn.entries()) {
      const named = ["criteria_head_type", "criteria_pooling", "evidence_head_type", "task_coupling"];
      const name = [...named.map((key) => params[`model.${key}`]), params["loss.loss_function"]].join(", ");
      await t.step(`${index}: ${name}`, async () => {
        const { failure, losses, overfit } = await tryConfiguration(study, params, index);
        assert.equal(failure, null, JSON.stringify(params));
        assert.equal(losses.length, STEPS);
        assert.ok(losses.every((loss) => loss > 0 && Number.isFinite(loss)));
        assert.ok(overfit!.last.loss < overfit!.first.loss);
      });
    }
    await t.step("a configuration that is refused, and one that does not learn, are told", async () => {
      const refused = await tryConfiguration(study, { "model.criteria_pooling": "none" }, 20);
      assert.match(refused.failure!, /Expected model\.criteria_pooling to be one of/);
      const still = { "training.optimizer": "sgd", "training.weight_decay": 0, "training.max_grad_norm": 1e-30 };
      const { failure } = await tryConfiguration(study, still, 21);
      assert.match(failure!, /^the loss on one batch went from (\S+) to \1 in/);
    });
    study.gpu.device.destroy();
  });
});
