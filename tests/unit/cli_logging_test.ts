import assert from "node:assert/strict";
import { join } from "node:path";
import type { FileSystem } from "../../lib/support/file_system.ts";
import { growth } from "../support/growth.ts";
import { memoryFiles } from "../support/memory_files.ts";
import { openJsonLines, readJsonLines } from "../../lib/support/json_lines.ts";
import { createLogger, formatEvent, type LogEvent, openLogFiles } from "../../lib/support/logging.ts";
import { maskData, maskSecrets } from "../../lib/support/masking.ts";

const SECRETS: [string, string][] = [
  ["HF_TOKEN=hf_AbCdEfGhIjKlMnOp", "HF_TOKEN=***"],
  ["got hf_AbCdEfGhIjKlMnOp here", "got *** here"],
  ["Authorization: Bearer abc.def-123", "Authorization: Bearer ***"],
  ['{"authorization":"Basic dXNlcjpwYXNz"}', '{"authorization":"Basic ***"}'],
  ["sent Bearer abcdef0123456789", "sent Bearer ***"],
  ["https://me:secret@host.example/x?a=1", "https://***@host.example/x?a=1"],
  ["https://secret@host.example/x", "https://***@host.example/x"],
  ["write to jane.doe+x@mail.example.org.", "write to ***."],
  ['password: "hunter22", user: x', 'password: "***", user: x'],
  ["?api_key=0123456789&x=1", "?api_key=***&x=1"],
  ["aws_secret_access_key=abcd/EFGH+1234", "aws_secret_access_key=***"],
  ["glpat-0123456789abcdef, xoxb-12345678-abc, AIzaSyA0123456789abc", "***, ***, ***"],
  ["sent eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl on", "sent *** on"],
  ["ghp_0123456789abcdef and AKIA0123456789ABCDEF", "*** and ***"],
];

for (const [text, masked] of SECRETS) {
  Deno.test(`masks ${text}`, () => assert.equal(maskSecrets(text), masked));
}

Deno.test("leaves ordinary text alone and long text is quick", () => {
  for (
    const text of [
      "tokens 512, macro F1 0.61",
      "basic settings, bearer tokens.",
      "https://host.example/a@b/c",
      "learning_rate=1e-3",
      "max 5@10",
    ]
  ) {
    assert.equal(maskSecrets(text), text);
  }
  for (const part of ["a", "a.", "a@", "://a", "token=", "bearer "]) {
    const ratio = growth((count) => maskSecrets(part.repeat(count)), 4_000, 16);
    assert.ok(ratio < 8, `16 times ${part} take ${ratio} times as long as 16 texts`);
  }
});

Deno.test("what stands under the key of a secret is masked whatever it looks like, a tokenizer's tokens are not", () => {
  const data = {
    password: "hunter2",
    nested: [{ hf_token: "abc", api_key: "x y" }],
    mask_token: "[MASK]",
    tokens: 512,
    secret: "",
  };
  assert.deepEqual(maskData(data), {
    password: "***",
    nested: [{ hf_token: "***", api_key: "***" }],
    mask_token: "[MASK]",
    tokens: 512,
    secret: "",
  });
});

Deno.test("an event goes masked to every sink, with component, trial and step as fields", () => {
  const events: LogEvent[] = [], warnings: LogEvent[] = [];
  const log = createLogger([
    (event) => events.push(event),
    (event) => event.level === "WARNING" && warnings.push(event),
  ])
    .with({ component: "hub" }).with({ trial: "0123456789" });
  log.info("asked with hf_AbCdEfGhIjKlMnOp", { step: 3, url: "https://u:p@h.example", list: ["a@b.example"] });
  log.warning("slow");
  const { time, ...first } = events[0]!;
  assert.deepEqual(first, {
    level: "INFO",
    component: "hub",
    trial: "0123456789",
    step: 3,
    message: "asked with ***",
    context: { url: "https://***@h.example", list: ["***"] },
  });
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 10_000);
  assert.deepEqual(warnings.map((event) => event.message), ["slow"]);
  assert.equal(
    formatEvent({ ...events[0]!, time: "2026-01-31T12:00:00.000Z", message: "a\nb" }),
    '2026-01-31 12:00:00 INFO    hub [trial 01234567 step 3] a | b url=https://***@h.example list=["***"]',
  );
});

Deno.test("log files hold the same events as JSON lines and as text, across openings", () => {
  const folder = join(Deno.makeTempDirSync(), "logs");
  for (const message of ["one", "two\nlines"]) {
    const files = openLogFiles(folder);
    createLogger([files.sink]).error(message, { error: new Error("jane@mail.example") });
    files.close();
  }
  const events = readJsonLines(join(folder, "training.jsonl")) as LogEvent[];
  assert.deepEqual(events.map((event) => [event.message, event.context]), [
    ["one", { error: "Error: ***" }],
    ["two\nlines", { error: "Error: ***" }],
  ]);
  const text = Deno.readTextFileSync(join(folder, "stdout.log"));
  assert.equal(text.split("\n").length, 3);
  assert.match(text, /ERROR {3}winnow one error=Error: \*\*\*\n/);
});

Deno.test("a torn last line is cut off when the file is opened again, lines that never came to the disk are left out", () => {
  const path = Deno.makeTempFileSync();
  const holes = "\0".repeat(600);
  for (const [found, kept] of [['{"a":1}\n{"b":', '{"a":1}\n'], ['{"b":', ""], [`{"a":1}\n${holes}`, '{"a":1}\n']]) {
    Deno.writeTextFileSync(path, found!);
    const lines = openJsonLines(path);
    lines.write({ c: 3 });
    lines.sync();
    lines.close();
    assert.equal(Deno.readTextFileSync(path), kept + '{"c":3}\n');
  }
  Deno.writeTextFileSync(path, `{"a":1}\n${holes}{"b":2}\n{"c":3}\n`);
  assert.deepEqual(readJsonLines(path), [{ a: 1 }, { c: 3 }]);
  const long = '{"a":1}\n' + `{"b":"${"x".repeat(3_000_000)}`;
  Deno.writeTextFileSync(path, long);
  openJsonLines(path).close();
  assert.equal(Deno.readTextFileSync(path), '{"a":1}\n');
});

Deno.test("a line that the disk refused half way is taken out, and the next one stands alone", () => {
  for (const truncates of [true, false]) {
    const files = memoryFiles();
    files.fs.makeFolderSync("/logs");
    let full = false;
    const fs: FileSystem = {
      ...files.fs,
      openSync(path, mode) {
        const file = files.fs.openSync(path, mode);
        return {
          ...file,
          writeSync(bytes) {
            if (!full) return file.writeSync(bytes);
            file.writeSync(bytes.subarray(0, 5));
            throw Object.assign(new Error("full"), { code: "ENOSPC" });
          },
        };
      },
      truncateSync(path, bytes) {
        if (full && !truncates) throw Object.assign(new Error("full"), { code: "EIO" });
        files.fs.truncateSync(path, bytes);
      },
    };
    const lines = openJsonLines("/logs/lines.jsonl", fs);
    lines.write({ a: 1 });
    full = true;
    assert.throws(() => lines.write({ lost: "half of this is written" }), { code: "ENOSPC" });
    full = false;
    lines.write({ b: 2 });
    assert.deepEqual(readJsonLines("/logs/lines.jsonl", fs), [{ a: 1 }, { b: 2 }]);
  }
});

Deno.test("JSON lines survive a torn last line and name a damaged one", () => {
  const path = Deno.makeTempFileSync();
  const lines = openJsonLines(path);
  lines.write({ a: 1 });
  lines.write({ text: "é\n" });
  lines.close();
  const whole = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, whole + '{"torn": ');
  assert.deepEqual(readJsonLines(path), [{ a: 1 }, { text: "é\n" }]);
  Deno.writeTextFileSync(path, '{"a": 1}\n{"b": \n{"c": 3}\n');
  assert.throws(() => readJsonLines(path), /:2: /);
});
