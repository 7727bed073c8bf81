/** A real MLflow server that is killed, restarted and lied about while a study runs has every value exactly once. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { loggedEvents, resultOf, runCommand, startCommand, TINY, withFolder } from "../support/commands.ts";
import { readMlflow, type ReadRun, startRealServer } from "../support/mlflow_python.ts";

/** Two epochs of 21 steps. */
const RUN = [
  ...["--json", "--mode", "single", ...TINY, "training.batch_size=2", "training.learning_rate=3e-3", "seed=4"],
  ...["training.log_every=2", "training.early_stopping=null", "study.metric=criteria_macro_pr_auc"],
];

/** What becomes of a request on its way. */
type Trouble = "lost" | "half" | "silent" | 500 | 429;

/** A proxy that lets some requests fail: before or after the server has carried them out. */
function startProxy(port: number) {
  const state = { target: "", troubles: [] as Trouble[], every: Infinity, met: new Map<Trouble, number>() };
  let asked = 0;
  const silence = Promise.withResolvers<void>();
  const listen = (port: number) =>
    Deno.serve({ port, hostname: "127.0.0.1", onListen: () => {} }, async (request) => {
      const body = new Uint8Array(await request.arrayBuffer());
      const trouble = ++asked % state.every === 0 ? state.troubles.shift() : undefined;
      if (trouble) state.met.set(trouble, (state.met.get(trouble) ?? 0) + 1);
      if (trouble === 500) return new Response("no", { status: 500 });
      if (trouble === 429) return new Response("slower", { status: 429, headers: { "Retry-After": "1" } });
      const { pathname, search } = new URL(request.url);
      let answer: Response, text: string;
      try {
        answer = await fetch(state.target + pathname + search, {
          method: request.method,
          headers: { "Content-Type": request.headers.get("Content-Type") ?? "application/json" },
          ...(body.length > 0 ? { body } : {}),
        });
        text = await answer.text();
      } catch {
        return new Response("nobody there", { status: 502 });
      }
      if (trouble === "lost") return new Response("the proxy gave up", { status: 502 });
      if (trouble === "half") return new Response(text.slice(0, text.length / 2), { status: 200 });
      if (trouble === "silent") await silence.promise;
      return new Response(text, { status: answer.status, headers: { "Content-Type": "application/json" } });
    });
  let http: ReturnType<typeof listen> | undefined = listen(port);
  const own = http.addr.port;
  const close = async () => {
    await http?.shutdown();
    http = undefined;
  };
  return {
    state,
    url: `http://127.0.0.1:${own}`,
    /** From now on nobody listens there; and again somebody does. */
    close,
    open: () => void (http = listen(own)),
    [Symbol.asyncDispose]: async () => {
      silence.resolve();
      await close();
    },
  };
}

const trialOf = (runs: readonly ReadRun[]) => runs.filter(({ name }) => name === "trial 0");
/** Metric, step and value, without what depends on the clock, in order. */
const valuesOf = ({ history }: ReadRun) =>
  Object.entries(history).filter(([key]) => key !== "epoch_seconds")
    .flatMap(([key, points]) => points.map(([step, value]) => `${key} ${step} ${value}`)).sort();

Deno.test("a real MLflow server that is killed, restarted, slow, refusing and cut off has every value exactly once", async () => {
  await withFolder(async (folder) => {
    const whole = join(folder, "whole"), experiments = join(folder, "experiments");
    const place = `paths.experiments=${experiments}`;
    resultOf(await runCommand("train", [...RUN, `paths.experiments=${whole}`]));
    const reached = (step: number, times = 1) => () =>
      loggedEvents(experiments).filter((one) => one.message === "step" && one.step! >= step).length >= times;

    let server = await startRealServer(folder);
    await using proxy = startProxy(0);
    proxy.state.target = server.url;
    proxy.state.every = 3;
    proxy.state.troubles = ["lost", 500, "half", 429, "lost", "half"];
    let running = startCommand("train", [
      ...[...RUN, place, "tracking.store=mlflow_rest", `tracking.uri=${proxy.url}`],
    ]);
    try {
      await running.until("step 8", reached(8));
      await proxy.close();
      await server.kill();
      await running.until("step 26", reached(26));
      running.child.kill("SIGKILL");
      await running.done;

      server = await startRealServer(folder);
      proxy.state.target = server.url;
      proxy.state.troubles.push("silent", "lost", "half");
      proxy.open();
      running = startCommand("resume", ["--json", place]);
      const result = resultOf(await running.done);
      // What a time-out has left to be delivered.
      proxy.state.troubles = [];
      const buffer = join(experiments, `study_${result.study_id}`, "tracking_buffer.jsonl");
      for (let i = 0; i < 3 && await Deno.stat(buffer).then(() => true, () => false); i++) {
        resultOf(await runCommand("resume", ["--json", place, "--study-id", result.study_id]));
      }
      await assert.rejects(Deno.stat(buffer), Deno.errors.NotFound);
      assert.deepEqual([...proxy.state.met.keys()].sort(), [429, 500, "half", "lost", "silent"]);

      const { runs } = await readMlflow(server.url);
      const [trial, ...others] = trialOf(runs);
      assert.deepEqual([runs.length, others], [2, []]);
      await using local = await startRealServer(join(folder), join(whole, "mlflow.db"));
      const [expected] = trialOf((await readMlflow(local.url)).runs);
      assert.deepEqual(valuesOf(trial!), valuesOf(expected!));
      assert.ok(runs.every(({ status }) => status === "FINISHED"));
      assert.deepEqual(trial!.artifacts, expected!.artifacts);
    } finally {
      await server[Symbol.asyncDispose]();
    }
  });
});
