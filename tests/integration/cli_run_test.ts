import assert from "node:assert/strict";

const FIXTURE = new URL("fixtures/command.ts", import.meta.url).pathname;

function start(...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "--allow-read=lib,configs", "--allow-env=WINNOW_TASK", FIXTURE, ...args],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function finish(child: Deno.ChildProcess): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await child.output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}

Deno.test("a finished command exits 0, with the JSON object last on stdout only with --json", async () => {
  const [plain, json, nothing] = await Promise.all([
    finish(start("end=done")),
    finish(start("--json", "end=done")),
    finish(start("--json", "end=nothing")),
  ]);
  assert.deepEqual(plain, { code: 0, stdout: "progress\n", stderr: "" });
  assert.deepEqual(json, { code: 0, stdout: '{"study_id":"s"}\n', stderr: "progress\n" });
  assert.deepEqual(nothing, { code: 0, stdout: "", stderr: "progress\n" });
});

Deno.test("each kind of error has its exit code, clear lines and a remedy; only a bug shows its stack", async () => {
  const [input, storage, failure, bug, denied] = await Promise.all(
    ["input", "storage", "failure", "bug", "denied"].map((end) => finish(start(`end=${end}`))),
  );
  assert.deepEqual([input!.code, storage!.code, failure!.code, bug!.code, denied!.code], [2, 3, 1, 1, 1]);
  assert.equal(input!.stderr, "error: first line\nerror: second line\n  remedy: Do this.\n");
  assert.equal(storage!.stderr, "error: no space in ***\n  remedy: Free some.\n");
  assert.equal(failure!.stderr, "error: it failed\n");
  assert.match(bug!.stderr, /^error: TypeError: undefined is not a function\n\s+at .*command\.ts/);
  assert.match(
    denied!.stderr,
    /^error: Deno's permissions do not allow it: Requires read access to "\/etc\/hostname"\n/,
  );
});

Deno.test("bad command lines exit 2 and --help exits 0 on stdout", async () => {
  const [unknown, help] = await Promise.all([finish(start("--jsn")), finish(start("--help"))]);
  assert.equal(unknown.code, 2);
  assert.equal(
    unknown.stderr,
    "error: unknown option --jsn; did you mean --json?\n  remedy: deno task train --help lists the options.\n",
  );
  assert.deepEqual(help, { code: 0, stdout: "usage: the help text\n", stderr: "" });
});

/** Waits until the child wrote a text to stderr; returns a function that reads the rest. */
async function untilStderr(child: Deno.ChildProcess, text: string): Promise<() => Promise<string>> {
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let seen = "";
  while (!seen.includes(text)) {
    const { value, done } = await reader.read();
    assert.ok(!done, `the child ended before it wrote ${text}: ${seen}`);
    seen += value;
  }
  return async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return seen;
      seen += value;
    }
  };
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`${signal} lets the command save and exits 130; the same press seen twice counts once`, async () => {
    const child = start("end=wait");
    const rest = await untilStderr(child, "ready\n");
    child.kill(signal);
    child.kill(signal);
    const stderr = await rest();
    assert.equal((await child.status).code, 130);
    assert.match(stderr, /interrupted: saving.*\nsaved\nerror: interrupted\n {2}remedy: .*deno task resume\n$/);
    await child.stdout.cancel();
  });
}

Deno.test("a second Ctrl-C ends a command that does not stop", async () => {
  const child = start("end=hang");
  const rest = await untilStderr(child, "ready\n");
  child.kill("SIGINT");
  await new Promise((resolve) => setTimeout(resolve, 700));
  child.kill("SIGINT");
  await rest();
  assert.equal((await child.status).code, 130);
  await child.stdout.cancel();
});
