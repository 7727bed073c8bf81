import assert from "node:assert/strict";
import { join } from "node:path";
import { localRevision, locateDataset } from "../../lib/data/dataset_source.ts";

const COMMIT = "0123456789abcdef0123456789abcdef01234567";

async function inFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(join(path, ".."), { recursive: true });
  await Deno.writeTextFile(path, text);
}

async function git(cwd: string, ...args: string[]): Promise<string> {
  const options = ["-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "init.defaultBranch=main"];
  const { success, stdout, stderr } = await new Deno.Command("git", { args: [...options, ...args], cwd }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("revision: the HEAD of a clone, on a branch, packed, detached and in a worktree", async () => {
  await inFolder(async (folder) => {
    const clone = join(folder, "clone");
    await Deno.mkdir(clone);
    await git(clone, "init", "-q");
    assert.equal(await localRevision(clone), null, "nothing committed yet");
    await git(clone, "commit", "-q", "--allow-empty", "-m", "one");
    const first = await git(clone, "rev-parse", "HEAD");
    assert.equal(await localRevision(clone), first);
    await git(clone, "pack-refs", "--all");
    assert.equal(await localRevision(clone), first);
    await git(clone, "worktree", "add", "-q", "-b", "other", join(folder, "tree"));
    await git(clone, "commit", "-q", "--allow-empty", "-m", "two");
    const second = await git(clone, "rev-parse", "HEAD");
    assert.equal(await localRevision(clone), second);
    assert.equal(await localRevision(join(folder, "tree")), first);
    await git(clone, "checkout", "-q", first);
    assert.equal(await localRevision(clone), first);
  });
});

Deno.test("revision: a snapshot of the hub's cache, a download by huggingface_hub, and a plain folder", async () => {
  await inFolder(async (folder) => {
    assert.equal(await localRevision(folder), null);
    const snapshot = join(folder, "snapshots", COMMIT);
    await Deno.mkdir(snapshot, { recursive: true });
    assert.equal(await localRevision(snapshot), COMMIT);
    const downloads = join(folder, ".cache/huggingface/download");
    await write(join(downloads, "posts.csv.metadata"), `${COMMIT}\netag\n1.5\n`);
    await write(join(downloads, "data/annotations.csv.metadata"), `${COMMIT}\netag\n1.5\n`);
    assert.equal(await localRevision(folder), COMMIT);
    await write(join(downloads, "posts.csv.metadata"), `${"f".repeat(40)}\netag\n1.5\n`);
    assert.equal(await localRevision(folder), null, "the files are of two commits");
  });
  await inFolder(async (folder) => {
    await write(join(folder, ".git"), "gitdir: /no/such/place\n");
    assert.equal(await localRevision(folder), null);
    await Deno.remove(join(folder, ".git"));
    await write(join(folder, ".git/HEAD"), "ref: refs/heads/../../../secret\n");
    assert.equal(await localRevision(folder), null);
  });
});

Deno.test("revision: a local folder must be at the revision that is asked for", async () => {
  await inFolder(async (folder) => {
    await assert.rejects(locateDataset({ id: folder, revision: COMMIT }), /is no clone whose commit can be told/);
    await write(join(folder, ".git/HEAD"), COMMIT);
    assert.deepEqual(await locateDataset({ id: folder, revision: COMMIT }), { folder, revision: COMMIT });
    assert.deepEqual(await locateDataset({ id: folder }), { folder, revision: COMMIT });
    await assert.rejects(locateDataset({ id: folder, revision: "main" }), /asks for main, but .* is at commit 01234/);
  });
});
