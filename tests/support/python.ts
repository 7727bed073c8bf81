/** How the text tests talk to Python, and where they find the project's data. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A file of the shared data folder: WINNOW_DATA, or ../shared/data beside the project. */
export function dataFile(...parts: string[]): string {
  return join(Deno.env.get("WINNOW_DATA") ?? join(root, "../shared/data"), ...parts);
}

/** Runs a Python peer of this folder: one JSON value in, one out. */
export async function askPython<T>(script: string, args: string[], request: unknown): Promise<T> {
  const python = Deno.env.get("WINNOW_PYTHON");
  if (!python) throw new Error("Set WINNOW_PYTHON to a Python with tokenizers, transformers, safetensors and numpy");
  const child = new Deno.Command(python, {
    args: [join(root, "tests/peers", script), ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const sent = writer.write(new TextEncoder().encode(JSON.stringify(request))).then(() => writer.close());
  const { success, stdout, stderr } = await child.output();
  if (!success) throw new Error(`${script} ${args.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
  await sent;
  return JSON.parse(new TextDecoder().decode(stdout));
}
