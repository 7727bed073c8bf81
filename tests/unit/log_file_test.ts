/** Rotation of log files: by day, by size, by several processes at once, and on a disk that is full. */
import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { parseByteSize } from "../../lib/support/byte_size.ts";
import { LOG_LIMITS, openLogFile, rotatedFiles } from "../../lib/support/log_file.ts";
import { withFolder } from "./storage_scenario.ts";

const linesOf = (path: string) =>
  [...rotatedFiles(path), path].flatMap((file) => Deno.readTextFileSync(file).split("\n").slice(0, -1));

Deno.test("by default a file is a day or 1 GB, and 14 are kept", () => {
  assert.deepEqual(LOG_LIMITS, { maxBytes: 1e9, keep: 14 });
});

Deno.test("a new file begins at the size and on each day; the oldest go, nothing else does", async () => {
  await withFolder((folder) => {
    const path = join(folder, "training.jsonl");
    let day = new Date("2026-01-30T23:59:59Z");
    const log = openLogFile(path, { limits: { maxBytes: 50, keep: 3 }, now: () => day });
    for (let i = 0; i < 6; i++) log.append(`a${i}`.padEnd(19) + "\n"); // two to a file
    day = new Date("2026-01-31T00:00:00Z");
    log.append("b\n");
    day = new Date("2026-02-02T12:00:00Z");
    log.append("c\n");
    log.close();
    assert.deepEqual(rotatedFiles(path).map((one) => basename(one)), [
      "training.2026-01-30.002.jsonl",
      "training.2026-01-30.003.jsonl",
      "training.2026-01-31.001.jsonl",
    ]);
    assert.deepEqual(linesOf(path).map((line) => line.trim()), ["a2", "a3", "a4", "a5", "b", "c"]);
    return Promise.resolve();
  });
});

Deno.test("a line longer than a file may be is written all the same, alone", async () => {
  await withFolder((folder) => {
    const path = join(folder, "x.log");
    const log = openLogFile(path, { limits: { maxBytes: 10, keep: 9 } });
    for (const line of ["a", "b".repeat(100), "c"]) log.append(line + "\n");
    log.close();
    assert.deepEqual(linesOf(path).map((line) => line.length), [1, 100, 1]);
    return Promise.resolve();
  });
});

Deno.test("what a crash tore off the last line goes, what was whole stays", async () => {
  await withFolder((folder) => {
    const path = join(folder, "x.log");
    for (
      const [there, left] of [["a\nb\ntorn", "a\nb\nnew\n"], ["torn", "new\n"], ["a\n", "a\nnew\n"], ["", "new\n"]]
    ) {
      Deno.writeTextFileSync(path, there!);
      const log = openLogFile(path);
      log.append("new\n");
      log.close();
      assert.equal(Deno.readTextFileSync(path), left);
    }
    // Longer than what is read at once.
    Deno.writeTextFileSync(path, "first\n" + "x".repeat(200_000));
    openLogFile(path).close();
    assert.equal(Deno.readTextFileSync(path), "first\n");
    return Promise.resolve();
  });
});

Deno.test("several processes append through many rotations: every event is there once, and each in its order", async () => {
  await withFolder(async (folder) => {
    const path = join(folder, "x.log");
    const COUNT = 2000, WRITERS = 3;
    const source = `
      import { openLogFile } from ${JSON.stringify(new URL("../../lib/support/log_file.ts", import.meta.url).href)};
      const log = openLogFile(Deno.args[0], { limits: { maxBytes: 2000, keep: 1000 } });
      for (let i = 0; i < ${COUNT}; i++) log.append(Deno.args[1] + " " + i + "\\n");
      log.close();`;
    const script = join(folder, "writer.ts");
    await Deno.writeTextFile(script, source);
    const writers = Array.from({ length: WRITERS }, (_, writer) =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "--no-config", "--no-lock", "--no-check", "-A", script, path, String(writer)],
        stderr: "piped",
      }).output());
    for (const { success, stderr } of await Promise.all(writers)) assert.ok(success, new TextDecoder().decode(stderr));
    assert.ok(rotatedFiles(path).length >= 4);
    const lines = linesOf(path);
    const expected = Array.from(
      { length: WRITERS },
      (_, writer) => Array.from({ length: COUNT }, (_, i) => `${writer} ${i}`),
    ).flat();
    assert.deepEqual(lines.toSorted(), expected.toSorted());
  });
});

Deno.test("sizes are read as people write them", () => {
  const cases: [string | number, number][] = [["10 GB", 1e10], ["1.5GiB", 1.5 * 2 ** 30], ["500mb", 5e8], [123, 123]];
  for (const [text, bytes] of cases) assert.equal(parseByteSize(text), bytes);
  for (const text of ["", "GB", "10", "-1 GB", "1e3 B", "10 XB", NaN, Infinity]) {
    assert.throws(() => parseByteSize(text), /Expected a size such as "10 GB"/);
  }
});
