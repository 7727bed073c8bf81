/** Work beside training: one piece at a time, its errors told once, and its share of a thread that a device blocks. */
import assert from "node:assert/strict";
import { createPace } from "../../lib/train/pace.ts";
import { createBackground } from "../../lib/support/background.ts";

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

Deno.test("time is given until the work ends or the time is over, and its error stays for settle", async () => {
  const background = createBackground();
  await background.giveTime(60_000);
  const { promise, resolve } = Promise.withResolvers<void>();
  await background.start(() => promise);
  assert.ok(background.isBusy);
  await background.giveTime(5);
  assert.ok(background.isBusy, "the work is not over");
  setTimeout(resolve, 5);
  await background.giveTime(60_000);
  assert.equal(background.isBusy, false);

  const failing = Promise.withResolvers<void>();
  await background.start(() => failing.promise);
  setTimeout(() => failing.reject(new Error("disk full")), 5);
  await background.giveTime(60_000);
  assert.deepEqual([background.isBusy, background.hasFailed], [false, true]);
  await assert.rejects(background.settle(), /disk full/);
  await background.settle();
});

Deno.test("on an adapter that blocks the thread a save goes on while a step runs; elsewhere nothing is waited for", async () => {
  /** Steps of 20 ms that a save of 100 turns takes, with `drain` blocking the thread for what is left of the step. */
  const stepsOfSave = async (isSoftware: boolean) => {
    const saves = createBackground();
    let queued = 0;
    // deno-lint-ignore no-explicit-any -- no more of an engine is asked for
    const engine: any = {
      gpu: { isSoftware },
      async drain() {
        while (performance.now() < queued + 20);
        await turn();
        return [];
      },
    };
    const pace = createPace(engine, saves);
    const step = async () => {
      queued = performance.now();
      await pace.queued();
      await pace.drain();
    };
    await step();
    await saves.start(async () => {
      for (let i = 0; i < 100; i++) await turn();
    });
    let steps = 0;
    for (; saves.isBusy; steps++) await step();
    return steps;
  };
  const [software, gpu] = [await stepsOfSave(true), await stepsOfSave(false)];
  assert.ok(software < 50 && gpu >= 50, `${software} steps on a software adapter, ${gpu} on a GPU`);
});
