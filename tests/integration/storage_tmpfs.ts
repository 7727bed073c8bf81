/** Small file systems in memory, to run full or be read-only; only root may mount them. */
import assert from "node:assert/strict";

const run = (command: string, ...args: string[]) => new Deno.Command(command, { args, stderr: "piped" }).outputSync();

/** Mounts a tmpfs with these options for the time of `body`. */
export async function withTmpfs(options: string, body: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir({ prefix: "winnow-tmpfs-" });
  const { success, stderr } = run("mount", "-t", "tmpfs", "-o", options, "tmpfs", folder);
  assert.ok(success, `mount failed: ${new TextDecoder().decode(stderr)}`);
  try {
    await body(folder);
  } finally {
    run("umount", "-l", folder);
    await Deno.remove(folder);
  }
}

/** Why no tmpfs can be mounted here, to go behind the name of a skipped test; "" if one can be. */
export function mountRefusal(): string {
  const because = (reason: string) => ` [skipped, no tmpfs can be mounted: ${reason}]`;
  if (Deno.build.os !== "linux") return because("it is Linux's");
  const folder = Deno.makeTempDirSync();
  try {
    const { success, stderr } = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder);
    if (success) run("umount", folder);
    return success ? "" : because(new TextDecoder().decode(stderr).trim());
  } catch (error) {
    return because(String(error));
  } finally {
    Deno.removeSync(folder);
  }
}
