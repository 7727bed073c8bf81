/** What the tests of weights files share: a folder of their own, refusals, and a bound on memory. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { WinnowError } from "../../lib/support/errors.ts";

/** Runs a test in a temporary folder. */
export async function inFolder(use: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** The action must end in an input error with a remedy. */
export function assertRefused(action: () => unknown, message: RegExp): void {
  assert.throws(action, (error) => {
    assert.ok(error instanceof WinnowError, error instanceof Error ? error.stack ?? error.message : String(error));
    assert.equal(error.kind, "input");
    assert.notEqual(error.remedy, "");
    assert.match(error.message, message);
    return true;
  });
}

/** Writes each file of a table in turn and checks that it is refused for the reason given. */
export async function checkRefusals(
  t: Deno.TestContext,
  open: (path: string) => Disposable,
  cases: readonly (readonly [name: string, bytes: Uint8Array, message: RegExp])[],
): Promise<void> {
  await inFolder(async (folder) => {
    const path = join(folder, "weights");
    for (const [name, bytes, message] of cases) {
      await t.step(name, () => {
        Deno.writeFileSync(path, bytes);
        assertRefused(() => open(path)[Symbol.dispose](), message);
      });
    }
  });
}

/** Runs an action and checks how much the process grew, in MiB; it may have grown less before. */
export function assertMemory(limit: number, action: () => void): void {
  const before = Deno.memoryUsage().rss;
  action();
  const grown = (Deno.memoryUsage().rss - before) / 2 ** 20;
  assert.ok(grown < limit, `grew by ${grown.toFixed(0)} MiB`);
}
