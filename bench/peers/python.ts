/** Where the Python of the peers is, and their scripts. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * WINNOW_PYTHON, or what `scripts/setup.sh --peers` made.
 *
 * @throws {Error} when there is neither
 */
export function python(): string {
  const found = Deno.env.get("WINNOW_PYTHON") ?? join(root, ".venv/bin/python");
  try {
    Deno.statSync(found);
  } catch {
    throw new Error(`Expected the peers' Python at ${found}: run scripts/setup.sh --peers, or set WINNOW_PYTHON`);
  }
  return found;
}

/** A script of tests/peers. */
export const peerScript = (name: string): string => join(root, "tests/peers", name);
