import assert from "node:assert/strict";
import { join } from "node:path";
import { openTracker, type TrackingSettings } from "../../lib/tracking/stores.ts";
import { type Tracker, TrackerAway } from "../../lib/tracking/tracker.ts";
import { type MlflowServer, startMlflow, type Trouble } from "../support/mlflow_server.ts";
import { event, run, STUDY, TRIAL } from "../support/tracking.ts";

const SETTINGS: TrackingSettings = {
  store: "mlflow_rest",
  uri: null,
  experiment: "winnow",
  token_file: null,
  token_command: null,
};

/** A tracker of the server; `waits` are the milliseconds that it would have waited. */
function open(server: MlflowServer, settings: Partial<TrackingSettings> = {}, env: Record<string, string> = {}) {
  const waits: number[] = [];
  const tracker = openTracker({ ...SETTINGS, ...settings }, {
    defaultFile: "unused",
    env: (name) => ({ MLFLOW_TRACKING_URI: `${server.url}/`, ...env })[name],
    timeout: 1000,
    delay: (milliseconds) => {
      waits.push(milliseconds);
      return Promise.resolve();
    },
  })!;
  return { tracker, waits };
}

const METRICS = [event("validation/f1", 1, 0.5), event("validation/f1", 2, NaN), event("train/loss", 2, -Infinity)];

/** Everything that a run consists of. */
async function everything(tracker: Tracker): Promise<void> {
  await tracker.openRun(run(STUDY));
  await tracker.openRun(run(TRIAL, { name: "trial 0", parent_id: STUDY, tags: { adapter: "a" } }));
  await tracker.logBatch({ run_id: TRIAL, metrics: METRICS, params: { lr: "0.1" }, tags: { state: "RUNNING" } });
  await tracker.logArtifact({ run_id: TRIAL, path: "a b/c.json", content: { text: "{}" } });
  await tracker.endRun({ run_id: TRIAL, status: "FINISHED", end_time: 1_700_000_009_000 });
}

function assertOnce(server: MlflowServer): void {
  assert.equal(server.runs.length, 2);
  const trial = server.run(TRIAL), study = server.run(STUDY);
  assert.deepEqual(
    trial.metrics.map(({ key, step, value }) => [key, step, value]),
    [["validation/f1", 1, 0.5], ["validation/f1", 2, "NaN"], ["train/loss", 2, "-Infinity"]],
  );
  assert.deepEqual([...trial.params], [["lr", "0.1"]]);
  assert.deepEqual(Object.fromEntries(trial.tags), {
    ...{ adapter: "a", state: "RUNNING", "winnow.run_id": TRIAL },
    ...{ "mlflow.runName": "trial 0", "mlflow.parentRunId": study.run_id },
  });
  assert.deepEqual([...trial.artifacts], [["a b/c.json", "{}"]]);
  assert.deepEqual([trial.status, trial.end_time], ["FINISHED", 1_700_000_009_000]);
}

Deno.test("mlflow_rest: everything arrives, and sent twice it is there once", async () => {
  await using server = startMlflow();
  await everything(open(server).tracker);
  assertOnce(server);
  await everything(open(server).tracker); // another process
  assertOnce(server);
  assert.deepEqual(
    await open(server).tracker.loggedSteps(TRIAL),
    new Map([
      ["validation/f1", new Set([1, 2])],
      ["train/loss", new Set([2])],
    ]),
  );
});

const TROUBLES: Record<string, { trouble: Trouble; wait?: number }> = {
  "429 with Retry-After": { trouble: { status: 429, headers: { "Retry-After": "7" } }, wait: 7000 },
  "408": { trouble: { status: 408 } },
  "500": { trouble: { status: 500, body: `{"error_code": "INTERNAL_ERROR"}` } },
  "503": { trouble: { status: 503 } },
  "an answer that was lost": { trouble: "lost" },
  "half an answer": { trouble: "half" },
};
for (const [name, { trouble, wait = 1000 }] of Object.entries(TROUBLES)) {
  Deno.test(`mlflow_rest: every request meets ${name} once, and all is there once`, async () => {
    await using server = startMlflow();
    const met = new Map<string, number>();
    // By the number of the request, since the same one may come again.
    server.trouble = ({ path, bytes }) => {
      const key = `${path} ${bytes}`;
      met.set(key, (met.get(key) ?? 0) + 1);
      return met.get(key) === 1 ? trouble : undefined;
    };
    const { tracker, waits } = open(server);
    await everything(tracker);
    assertOnce(server);
    assert.ok(waits.length >= 8 && waits.every((one) => one >= wait && one <= Math.max(wait, 8000)), waits.join());
  });
}

Deno.test("mlflow_rest: a connection that is cut in the middle of an answer is tried again", async () => {
  await using server = startMlflow();
  const { tracker } = open(server);
  await tracker.openRun(run(TRIAL));
  server.connections.push({ cutAfter: 40 }, { cutAfter: 0 }, {
    raw: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{",
  });
  const { tracker: other } = open(server);
  assert.deepEqual(await other.loggedSteps(TRIAL), new Map());
  assert.equal(server.runs.length, 1);
});

Deno.test("mlflow_rest: silence is a time-out, and after five attempts the server is away", async () => {
  await using server = startMlflow();
  const waits: number[] = [];
  const tracker = openTracker(SETTINGS, {
    defaultFile: "unused",
    env: (name) => name === "MLFLOW_TRACKING_URI" ? server.url : undefined,
    timeout: 50,
    delay: (milliseconds) => Promise.resolve(void waits.push(milliseconds)),
  })!;
  server.trouble = () => "silent";
  await assert.rejects(tracker.openRun(run(TRIAL)), (error: Error) => {
    assert.ok(error instanceof TrackerAway);
    assert.match(error.message, /has not answered within 0\.05 s \(5 attempts\)/);
    return true;
  });
  assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
});

Deno.test("mlflow_rest: no server at all is away too", async () => {
  const server = startMlflow();
  await server[Symbol.asyncDispose]();
  const { tracker, waits } = open(server);
  await assert.rejects(tracker.openRun(run(TRIAL)), TrackerAway);
  assert.equal(waits.length, 4);
});

Deno.test("mlflow_rest: batches stay within MLflow's limits", async () => {
  await using server = startMlflow();
  const { tracker } = open(server);
  await tracker.openRun(run(TRIAL));
  const metrics = Array.from({ length: 2500 }, (_, step) => event("train/loss", step, step / 3));
  const params = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`p${i}`, "ü".repeat(5000)]));
  const tags = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`t${i}`, "x".repeat(9000)]));
  await tracker.logBatch({ run_id: TRIAL, metrics, params, tags });
  const kept = server.run(TRIAL);
  assert.deepEqual([kept.metrics.length, kept.params.size, kept.tags.size], [2500, 250, 152]);
  assert.ok(server.asked.every(({ bytes }) => bytes < 1_000_000));
});

Deno.test("mlflow_rest: a param that contradicts an earlier one is refused for good, metrics and tags are there", async () => {
  await using server = startMlflow();
  const { tracker, waits } = open(server);
  await tracker.openRun(run(TRIAL));
  await tracker.logBatch({ run_id: TRIAL, params: { lr: "1" } });
  const batch = { run_id: TRIAL, params: { lr: "2" }, metrics: METRICS, tags: { a: "b" } };
  await assert.rejects(tracker.logBatch(batch), { name: "WinnowError", message: /param lr has another value/ });
  assert.deepEqual([server.run(TRIAL).metrics.length, server.run(TRIAL).tags.get("a"), waits], [3, "b", []]);
});

Deno.test("mlflow_rest: permanent errors are not tried again, say what to do, and hold no secret", async () => {
  await using server = startMlflow();
  const cases: [Trouble, RegExp, RegExp][] = [
    [{ status: 401, body: "token s3cret-token is bad" }, /does not know who asks.* 401/, /MLFLOW_TRACKING_TOKEN/],
    [
      { status: 403, body: `{"error_code": "PERMISSION_DENIED", "message": "s3cret-token may not"}` },
      /refuses access.* 403: \*\*\* may not/,
      /permission/,
    ],
    [{ status: 404, body: "<html>" }, /has no MLflow there/, /tracking\.uri/],
    [{ status: 302, headers: { Location: "http://127.0.0.1:9/login" } }, /leads to another address/, /tracking\.uri/],
    [{ status: 400, body: `{"error_code": "BAD_REQUEST", "message": "no"}` }, /refuses a request.*: no/, /mlflow_db/],
  ];
  for (const [trouble, message, remedy] of cases) {
    server.trouble = () => trouble;
    const { tracker, waits } = open(server, {}, { MLFLOW_TRACKING_TOKEN: "s3cret-token" });
    await assert.rejects(tracker.openRun(run(TRIAL)), (error: Error & { remedy: string }) => {
      assert.match(error.message, message);
      assert.match(error.remedy, remedy);
      assert.ok(!`${error.stack} ${(error.cause as Error).message}`.includes("s3cret"));
      return true;
    });
    assert.deepEqual(waits, []);
  }
  assert.ok(server.asked.every(({ authorization }) => authorization === "Bearer s3cret-token"));
});

Deno.test("mlflow_rest: a token file and a token command are asked again when the token has expired", async () => {
  const folder = await Deno.makeTempDir({ prefix: "winnow-test-" });
  try {
    const file = join(folder, "token");
    const sources = [{ token_file: file }, { token_command: ["cat", file] }];
    for (const source of sources) {
      await using server = startMlflow();
      await Deno.writeTextFile(file, "first-token\n");
      server.authorization = "Bearer first-token";
      const { tracker, waits } = open(server, source, { MLFLOW_TRACKING_TOKEN: "not this one" });
      await tracker.openRun(run(TRIAL));
      server.authorization = "Bearer second-token";
      await Deno.writeTextFile(file, "second-token\n");
      await tracker.logBatch({ run_id: TRIAL, metrics: METRICS });
      assert.equal(server.run(TRIAL).metrics.length, 3);
      // Still the old one: no endless questions.
      server.authorization = "Bearer third-token";
      const before = server.asked.length;
      await assert.rejects(tracker.logBatch({ run_id: TRIAL, metrics: METRICS }), /does not know who asks/);
      assert.equal(server.asked.length, before + 1);
      assert.deepEqual(waits, []);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("mlflow_rest: user name and password, and the refusals of what is no token", async () => {
  await using server = startMlflow();
  server.authorization = `Basic ${btoa("ann:p\u00e4ss".replace("ä", "\u00c3\u00a4"))}`;
  await open(server, {}, { MLFLOW_TRACKING_USERNAME: "ann", MLFLOW_TRACKING_PASSWORD: "päss" }).tracker.openRun(
    run(TRIAL),
  );
  assert.equal(server.runs.length, 1);
  const refused = async (settings: Partial<TrackingSettings>, env: Record<string, string>, message: RegExp) => {
    await assert.rejects(open(server, settings, env).tracker.openRun(run(TRIAL)), (error: Error) => {
      assert.match(error.message, message);
      return !error.message.includes("s3cret");
    });
  };
  await refused({}, { MLFLOW_TRACKING_TOKEN: "s3cret and more" }, /MLFLOW_TRACKING_TOKEN gives no token/);
  await refused({ token_file: "/does/not/exist" }, {}, /token file .* is missing/);
  await refused({ token_command: ["sh", "-c", "echo s3cret; exit 3"] }, {}, /token command sh ended with code 3/);
  await refused({ token_command: ["sh", "-c", "echo s3cret; echo x"] }, {}, /token command sh gives no token/);
  await refused({ token_command: ["/does/not/exist"] }, {}, /cannot be started/);
});

Deno.test("mlflow_rest: addresses that are none are refused, with no password in the message", () => {
  const opened = (uri: string | null) =>
    openTracker({ ...SETTINGS, uri }, { defaultFile: "unused", env: () => undefined });
  assert.throws(() => opened(null), /no server is named/);
  for (const uri of ["mlflow.example.org", "ftp://host", "https://host/?a=b", "https://ann:s3cret@host"]) {
    assert.throws(() => opened(uri), (error: Error) =>
      /address of the tracking server/.test(error.message) &&
      !error.message.includes("s3cret"));
  }
  assert.equal(opened("https://host/mlflow/")!.where, "https://host/mlflow");
});
