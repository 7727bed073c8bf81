/** A hub token that expires while a study runs: the study waits for another one, and no trial fails for it. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { configToYaml, loadConfig } from "../../lib/config/compose.ts";
import { openHubPause } from "../../lib/study/hub_pause.ts";
import { resumeStudy, startStudy, type StudyHooks } from "../../lib/study/study.ts";
import { WinnowError } from "../../lib/support/errors.ts";
import { createLogger, type LogEvent } from "../../lib/support/logging.ts";
import { downloadFromHub } from "../../lib/weights/hub.ts";
import { loggedEvents, resultOf, runCommand, storedTrials, TINY, withFolder } from "../support/commands.ts";
import { MODEL, withHub } from "../support/hub_case.ts";
import { type Files, type HubServer, refuse, startHub } from "../support/hub_server.ts";

const CHECK_MS = 30;
const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > end) assert.fail(`waited too long for: ${what}`);
    await later(5);
  }
}

/** A pause against a hub that takes `hf_new` alone, with what it says and logs. */
async function withPause(
  variables: Record<string, string>,
  body: (bench: {
    hub: HubServer;
    file: string;
    said: string[];
    events: LogEvent[];
    /** Fetches a file as a trial of a running study does. */
    fetch(signal?: AbortSignal, path?: keyof typeof MODEL): Promise<string>;
  }) => Promise<void>,
): Promise<void> {
  await withHub(
    async ({ hub, cacheDir, options, request }) => {
      const file = join(cacheDir, "token");
      const said: string[] = [], events: LogEvent[] = [];
      const env = (name: string) => ({ HF_TOKEN_PATH: file, ...variables })[name] ?? options.env(name);
      const log = createLogger([(event) => events.push(event)]);
      const pause = openHubPause({ log: () => log, say: (text) => said.push(text), checkMs: CHECK_MS, env });
      const fetch = async (signal = new AbortController().signal, path: keyof typeof MODEL = "config.json") => {
        const found = await pause.ask((hub) => downloadFromHub({ ...request([path]), ...hub }), signal);
        return await Deno.readTextFile(join(found.folder, path));
      };
      await body({ hub, file, said, events, fetch });
    },
    {},
    { token: "hf_new" },
  );
}

Deno.test("a refused token pauses; one that is written to the token file ends the pause", async () => {
  await withPause({}, async ({ hub, file, said, events, fetch }) => {
    await Deno.writeTextFile(file, "hf_old\n");
    const fetched = fetch();
    await until("the warning", () => said.length > 0);
    const before = hub.requests.length;
    await until("further looks", () => hub.requests.length >= before + 3);
    assert.equal(said.length, 1, "people are told once");
    assert.match(said[0]!, /^warning: the study is paused: .* does not accept the token for the model "org\/name"/);
    assert.match(
      said[0]!,
      /\n {2}remedy: Log in with `hf auth login`, or write a valid token to \S+\/token\. The study/,
    );
    assert.match(said[0]!, /every 1 s and goes on by itself; Ctrl-C/);

    // Neither a file that is being written nor a hub that is away, nor an account without access ends it.
    await Deno.writeTextFile(file, "hf half");
    await until("the bad file", () => said.some((text) => text.includes("stays paused") && text.includes("no token")));
    await Deno.writeTextFile(file, "hf_other");
    hub.failures.push(() => refuse(403, "GatedRepo"));
    await until("no access", () => said.some((text) => text.includes("stays paused") && text.includes("gated")));

    await Deno.writeTextFile(file, "hf_new");
    assert.equal(await fetched, MODEL["config.json"]);
    assert.match(said.at(-1)!, /^the hub gives access again: the study goes on after a pause of \d+ s$/);
    assert.ok(events.filter(({ level }) => level === "WARNING").length >= 3);
    assert.equal(events.at(-1)!.level, "INFO");
    assert.ok(events.every(({ component }) => component === "hub"));
    assert.doesNotMatch(JSON.stringify([said, events]), /hf_(old|new|other)/);
  });
});

Deno.test("a token file that changes during a pause takes the place of HF_TOKEN, and only then", async () => {
  await withPause({ HF_TOKEN: "hf_old" }, async ({ hub, file, said, fetch }) => {
    // Of another account, say: nobody has chosen it for this study.
    await Deno.writeTextFile(file, "hf_other");
    const fetched = fetch();
    await until("further looks", () => hub.requests.length >= 3);
    assert.deepEqual([...new Set(hub.authorizations.hub)], ["Bearer hf_old"]);
    assert.match(said[0]!, /write a valid token to \S+, which then takes the place of HF_TOKEN\. /);
    await Deno.writeTextFile(file, "hf_new");
    assert.equal(await fetched, MODEL["config.json"]);
    const sent = hub.requests.length;
    await fetch(undefined, "README.md");
    assert.deepEqual([...new Set(hub.authorizations.hub.slice(sent))], ["Bearer hf_new"], "for the rest of the run");
  });
});

Deno.test("a token that the hub takes again, and the end of a pause by Ctrl-C", async () => {
  await withPause({ HF_TOKEN: "hf_back" }, async ({ hub, said, fetch }) => {
    const stop = new AbortController();
    const stopped = fetch(stop.signal);
    await until("the warning", () => said.length > 0);
    const reason = new WinnowError("interrupted", "interrupted");
    const pressed = performance.now();
    stop.abort(reason);
    await assert.rejects(stopped, (error) => error === reason);
    assert.ok(performance.now() - pressed < 1000);
    const fetched = fetch();
    await until("the second warning", () => said.length > 1);
    hub.accept("hf_back");
    assert.equal(await fetched, MODEL["config.json"]);
  });
});

Deno.test("what another token does not change is no pause", async () => {
  await withPause({ HF_TOKEN: "hf_new" }, async ({ hub, said, fetch }) => {
    for (const code of ["GatedRepo", "RepoNotFound", "EntryNotFound"]) {
      hub.failures.push(() => refuse(code === "GatedRepo" ? 403 : 404, code));
      await assert.rejects(fetch(), (error) => error instanceof WinnowError && error.kind === "input");
    }
    assert.deepEqual(said, []);
  });
  await withPause({}, async ({ said, fetch }) => {
    await assert.rejects(fetch(), /asks for a login/, "without any token there is none that could have expired");
    assert.deepEqual(said, []);
  });
});

Deno.test("without a place for a token file the remedy is a resume", async () => {
  const said: string[] = [];
  const env = (name: string) => ({ HF_TOKEN: "hf_old" })[name];
  await withHub(
    async ({ hub, cacheDir }) => {
      const stop = new AbortController();
      const pause = openHubPause({
        log: () => createLogger([]),
        say: (text) => said.push(text),
        checkMs: CHECK_MS,
        env,
      });
      const access = (name: string) => name === "HF_ENDPOINT" ? hub.url : env(name);
      const asked = pause.ask(
        () => downloadFromHub({ repo: "org/name", type: "model", files: ["vocab.txt"], cacheDir, env: access }),
        stop.signal,
      );
      await until("the warning", () => said.length > 0);
      assert.match(said[0]!, /remedy: Press Ctrl-C, set HF_TOKEN to a valid token, and go on with `deno task resume`/);
      stop.abort(new WinnowError("interrupted", "interrupted"));
      await assert.rejects(asked);
    },
    {},
    { token: "hf_new" },
  );
});

/** Runs `body` with variables of the environment set. */
async function withVariables(variables: Record<string, string | undefined>, body: () => Promise<void>): Promise<void> {
  const put = (name: string, value: string | undefined) =>
    value === undefined ? Deno.env.delete(name) : Deno.env.set(name, value);
  const before = Object.keys(variables).map((name) => [name, Deno.env.get(name)] as const);
  Object.entries(variables).forEach(([name, value]) => put(name, value));
  try {
    await body();
  } finally {
    before.forEach(([name, value]) => put(name, value));
  }
}

const MODEL_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"];

Deno.test("a study: a token that has expired fails no trial, a command that begins with it ends at once", async () => {
  await withFolder(async (folder) => {
    const small = [...TINY, "training.epochs=1"];
    const made = resultOf(
      await runCommand("train", ["--mode", "single", "--json", ...small, `paths.experiments=${join(folder, "made")}`]),
    );
    const files: Files = {};
    for (const name of MODEL_FILES) files[name] = await Deno.readFile(join(made.trials[0]!.checkpoint!, name));
    await using hub = startHub(files, { token: "hf_new" });
    const token = join(folder, "token");
    const experiments = join(folder, "experiments");
    const config = loadConfig({
      file: "configs/quickstart.yaml",
      overrides: [
        ...small,
        `paths.experiments=${experiments}`,
        "search_space={model.id: {type: categorical, choices: [random, org/name]}}",
        "study.enqueue=[{model.id: random}, {model.id: org/name}, {model.id: random}]",
        ...["study.n_trials=3", "study.max_consecutive_failures=1", "study.sampler=random"],
      ],
    });
    assert.ok(configToYaml(config).includes("org/name"));
    const said: string[] = [];
    const hooks: StudyHooks = {
      say: (text) => said.push(text),
      onEvent: () => {},
      onProgress: () => {},
      tokenCheckMs: CHECK_MS,
    };
    const isPaused = () => said.some((text) => text.startsWith("warning: the study is paused: "));
    const states = () => storedTrials(experiments).map(({ state }) => state);
    const variables = {
      ...{ HF_ENDPOINT: hub.url, HF_HOME: join(folder, "hub"), HF_TOKEN_PATH: token },
      ...{ HF_TOKEN: undefined, HUGGING_FACE_HUB_TOKEN: undefined, HF_HUB_OFFLINE: undefined },
      ...{ HF_HUB_CACHE: undefined, HUGGINGFACE_HUB_CACHE: undefined, TRANSFORMERS_OFFLINE: undefined },
    };
    await withVariables(variables, async () => {
      await Deno.writeTextFile(token, "hf_old");
      // At the start: the model of the configuration itself.
      const start = { ...config, model: { ...config.model, id: "org/name" } };
      await assert.rejects(startStudy(start, new AbortController().signal, hooks), /does not accept the token/);
      assert.deepEqual(states(), []);

      const stop = new AbortController();
      const study = startStudy(config, stop.signal, hooks);
      study.catch(() => {});
      await until("the pause", isPaused);
      assert.deepEqual(states(), ["COMPLETE", "RUNNING", "WAITING"]);
      stop.abort(new WinnowError("interrupted", "interrupted"));
      await assert.rejects(study, (error) => error instanceof WinnowError && error.kind === "interrupted");
      assert.deepEqual(states(), ["COMPLETE", "RUNNING", "WAITING"]);
      const warning = loggedEvents(experiments).find(({ level, message }) =>
        level === "WARNING" && message.startsWith("the study is paused")
      )!;
      assert.match(warning.context["remedy"], /hf auth login/);

      // Somebody looks at a command that begins: it ends with the remedy, and the trial stays for the next one.
      said.length = 0;
      await assert.rejects(
        resumeStudy(experiments, undefined, new AbortController().signal, hooks),
        (error) =>
          error instanceof WinnowError && error.kind === "input" && /does not accept the tok/.test(error.message),
      );
      assert.ok(!isPaused());
      assert.deepEqual(states(), ["COMPLETE", "RUNNING", "WAITING"]);

      await Deno.writeTextFile(token, "hf_new");
      const finished = await resumeStudy(experiments, undefined, new AbortController().signal, hooks);
      assert.deepEqual(finished.trials.map(({ state }) => state), ["COMPLETE", "COMPLETE", "COMPLETE"]);

      // And a pause that ends by itself, in a study that has not got the model in its cache.
      await Deno.remove(join(folder, "hub"), { recursive: true });
      await Deno.writeTextFile(token, "hf_old");
      said.length = 0;
      const again = startStudy(config, new AbortController().signal, hooks);
      again.catch(() => {});
      await until("the second pause", isPaused);
      await Deno.writeTextFile(token, "hf_new");
      const whole = await again;
      assert.deepEqual(whole.trials.map(({ state }) => state), ["COMPLETE", "COMPLETE", "COMPLETE"]);
      assert.ok(said.some((text) => text.startsWith("the hub gives access again")));
      assert.deepEqual(
        whole.trials.map(({ value }) => value),
        finished.trials.map(({ value }) => value),
        "the trials come to what they come to without a pause",
      );
    });
  });
});
