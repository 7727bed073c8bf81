/**
 * Adds the parts of docs/extending.md to a copy of the repository, exactly as the page says: new files, and lines of a
 * registry. They must compile, be in the catalog, and train.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { openSafetensors } from "../../lib/weights/safetensors.ts";
import type { Catalog } from "../../lib/report/catalog.ts";
import { follow, loggedEvents, resultOf, ROOT, TINY, withFolder } from "../support/commands.ts";

/** What the commands are made of. */
const COPIED = ["lib", "kernels", "configs", "scripts", "deno.json", "deno.lock"];

/** Runs deno in a folder. */
function deno(folder: string, ...args: string[]) {
  return follow(
    new Deno.Command(Deno.execPath(), {
      args,
      cwd: folder,
      env: { NO_COLOR: "1", HF_HUB_OFFLINE: "1" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  ).done;
}

/** The code blocks of one language, each with the path that the line before it names in backquotes first. */
function blocks(page: string, language: string): { path: string; code: string }[] {
  const pattern = new RegExp("^.*?`(lib/[^`]+)`.*:\\n\\n```" + language + "\\n([^]*?)^```$", "gm");
  return [...page.matchAll(pattern)].map(([, path, code]) => ({ path: path!, code: code! }));
}

/** A registry with the added lines of a diff: imports before the first one, entries after the line that is shown. */
function withLines(registry: string, diff: string): string {
  const lines = diff.trimEnd().split("\n");
  const context = lines.filter((line) => line.startsWith(" ")).map((line) => line.slice(1));
  const added = lines.filter((line) => line.startsWith("+")).map((line) => line.slice(1));
  assert.equal(context.length, 1);
  assert.equal(added.length, 2, "an import and one line");
  const [importLine, entry] = added as [string, string];
  const parts = registry.split(`${context[0]}\n`);
  assert.equal(parts.length, 2, `the registry has the line ${context[0]}`);
  const withEntry = `${parts[0]}${context[0]}\n${entry}\n${parts[1]}`;
  return withEntry.replace(/^import /m, `${importLine}\nimport `);
}

Deno.test("docs/extending.md: a head, a pooling and a loss, each one file and one line, compile and train", async () => {
  const page = await Deno.readTextFile(join(ROOT, "docs", "extending.md"));
  const files = blocks(page, "ts"), registries = blocks(page, "diff");
  assert.deepEqual(
    files.map(({ path }) => path),
    ["lib/model/criteria_heads/highway.ts", "lib/model/poolings/mean_max.ts", "lib/model/losses/balanced_focal.ts"],
  );
  assert.equal(registries.length, 3);
  await withFolder(async (folder) => {
    for (const name of COPIED) await cp(join(ROOT, name), join(folder, name), { recursive: true });
    for (const { path, code } of files) await Deno.writeTextFile(join(folder, path), code);
    for (const { path, code } of registries) {
      const registry = await Deno.readTextFile(join(folder, path));
      await Deno.writeTextFile(join(folder, path), withLines(registry, code));
    }
    const checked = await deno(folder, "check", "scripts/train.ts", ...files.map(({ path }) => path));
    assert.equal(checked.code, 0, checked.stderr);
    const styled = await deno(folder, "lint", ...files.map(({ path }) => path));
    assert.equal(styled.code, 0, styled.stderr);

    const { sections } = resultOf<Catalog>(await deno(folder, "task", "catalog", "--json"));
    const names = (key: string) => sections.find((section) => section.key === key)!.entries.map(({ name }) => name);
    assert.ok(names("model.criteria_head_type").includes("highway"));
    assert.ok(names("model.criteria_pooling").includes("mean_max"));
    assert.ok(names("loss.loss_function").includes("balanced_focal"));

    const settings = ["highway", "mean_max", "balanced_focal"];
    const keys = ["model.criteria_head_type", "model.criteria_pooling", "loss.loss_function"];
    const { trials: [trial] } = resultOf(
      await deno(
        folder,
        ...["task", "train", "--mode", "single", "--json", ...TINY, "training.epochs=4"],
        ...keys.map((key, i) => `${key}=${settings[i]}`),
      ),
    );
    assert.equal(trial!.state, "COMPLETE");
    const losses = loggedEvents(join(folder, "experiments"))
      .filter(({ message }) => message === "epoch").map(({ context }) => context["train_loss"] as number);
    assert.equal(losses.length, 4);
    assert.ok(losses.every(Number.isFinite) && losses.at(-1)! < losses[0]!, `training losses ${losses}`);
    using weights = openSafetensors(join(folder, trial!.checkpoint!, "model.safetensors"));
    const shape = (name: string) => weights.tensors.get(`criteria_head.${name}.weight`)?.shape;
    assert.deepEqual([shape("hidden"), shape("transform"), shape("output")], [[32, 32], [32, 32], [9, 32]]);
  });
});
