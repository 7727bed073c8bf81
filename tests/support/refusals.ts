/** Commands that must fail: one clear line, a remedy, the right exit code, no result, and no trial complete. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Finished, runCommand, startAll, storedTrials, TINY } from "./commands.ts";

/** A way to fail. */
export interface Case {
  /** Settings and options beside the tiny ones. */
  args: string[];
  /** What the one `error:` line says. */
  error: RegExp;
  remedy: RegExp;
  /** Exit code: 2 where nothing is said. */
  code?: number;
  env?: Record<string, string>;
}

/** One line that says what happened, one that says what to do, no stack, no result. */
export function assertRefused({ code, stdout, stderr }: Finished, expected: Pick<Case, "error" | "remedy" | "code">) {
  assert.equal(code, expected.code ?? 2, stderr);
  assert.equal(stdout, "", "with --json there is nothing on stdout");
  const lines = stderr.trimEnd().split("\n");
  assert.match(lines.at(-2)!, /^error: /, stderr);
  assert.match(lines.at(-1)!, /^ {2}remedy: \S/, stderr);
  assert.equal(lines.filter((line) => /^error: /.test(line)).length, 1, stderr);
  assert.match(lines.at(-2)!, expected.error);
  assert.match(lines.at(-1)!, expected.remedy);
  assert.doesNotMatch(stderr, /^\s+at /m, "a foreseen error shows no stack");
}

/** Arguments of `train` for one step of the tiny model. */
export const oneStep = (experiments: string, ...more: string[]) => [
  "--json",
  "--mode",
  "single",
  `paths.experiments=${experiments}`,
  ...TINY,
  "training.max_steps=1",
  ...more,
];

/** Runs the cases, each in an experiments folder of its own unless it names one, and checks them in steps. */
export async function checkRefusals(t: Deno.TestContext, folder: string, cases: Record<string, Case>) {
  const place = (name: string) => join(folder, "experiments", name.replaceAll(/\W+/g, "_"));
  const runs = startAll(
    Object.fromEntries(
      Object.entries(cases).map((
        [name, one],
      ) => [name, () => runCommand("train", oneStep(place(name), ...one.args), one.env)]),
    ),
    3,
  );
  for (const [name, one] of Object.entries(cases)) {
    await t.step(name, async () => {
      assertRefused(await runs[name]!, one);
      assert.ok(storedTrials(place(name)).every(({ state }) => state !== "COMPLETE"));
    });
  }
}
