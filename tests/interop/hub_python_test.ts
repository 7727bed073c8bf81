/** One cache for Winnow and Python's huggingface_hub: what either fetches from the same hub, the other finds. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { downloadFromHub, type HubRequest } from "../../lib/weights/hub.ts";
import { type HubCase, MODEL, rejected, withHub } from "../support/hub_case.ts";
import { COMMIT, type HubServer } from "../support/hub_server.ts";
import { askPython } from "../support/python.ts";

const TOKEN = "hf_good_secret";
const TYPES: HubRequest["type"][] = ["model", "dataset"];
const PATHS = Object.keys(MODEL).sort();

/** A hub as strict and as devious as the real one. */
function interopTest(name: string, body: (bench: HubCase) => Promise<void>): void {
  Deno.test(name, () => withHub(body, { HF_TOKEN: TOKEN }, { token: TOKEN, resolveCache: true }));
}

/** What Python fetches: the folder of the snapshot. */
function pythonFetch(hub: HubServer, cache: string, type: string, files?: string[]): Promise<string> {
  const request = { endpoint: hub.url, token: TOKEN, cache, repo: "org/name", type, ...(files ? { files } : {}) };
  return askPython("hub_cache.py", ["fetch"], request);
}

/** What Python finds in a cache without network. */
function pythonOffline(cache: string, type: string, file = "config.json"): Promise<unknown> {
  return askPython("hub_cache.py", ["offline"], { cache, repo: "org/name", type, file });
}

/** Every file, link and list of a cache, but for locks and the tag for backup programs. */
function layout(folder: string, under = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const { name, isDirectory, isSymlink } of Deno.readDirSync(join(folder, under))) {
    if (name === ".locks" || name === "CACHEDIR.TAG") continue;
    const path = join(under, name), full = join(folder, path);
    if (isDirectory) Object.assign(found, layout(folder, path));
    else if (isSymlink) found[path] = `→ ${Deno.readLinkSync(full)}`;
    else if (name.endsWith(".json")) found[path] = JSON.stringify(sorted(JSON.parse(Deno.readTextFileSync(full))));
    else found[path] = createHash("sha256").update(Deno.readFileSync(full)).digest("hex");
  }
  return found;
}

/** The same value with the keys of every object in order. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1);
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}

for (const type of TYPES) {
  interopTest(`a ${type}: both write the same cache`, async ({ hub, cacheDir, request }) => {
    const ours = join(cacheDir, "ours"), theirs = join(cacheDir, "theirs");
    await downloadFromHub(request(() => true, { type, cacheDir: ours }));
    await pythonFetch(hub, theirs, type);
    const found = layout(ours);
    assert.deepEqual(found, layout(theirs));
    assert.equal(Object.keys(found).length, 2 * PATHS.length + 2, "blobs, links, the ref and the list");
  });

  interopTest(`a ${type}: what Python fetched, we find without a request`, async ({ hub, cacheDir, request }) => {
    const folder = await pythonFetch(hub, cacheDir, type);
    const requests = hub.log.length;
    for (const revision of ["main", COMMIT]) {
      const all = await downloadFromHub(request(() => true, { type, revision }));
      assert.deepEqual([all.folder, all.commit, all.files.toSorted()], [folder, COMMIT, PATHS]);
      await downloadFromHub(request(["config.json", "data/posts.csv"], { type, revision }));
    }
    assert.equal(hub.log.length, requests);
    assert.equal(await Deno.readTextFile(join(folder, "model.safetensors")), MODEL["model.safetensors"]);
    await rejected(downloadFromHub(request(["none"], { type })), "input", /has no file none/);
  });

  interopTest(`a ${type}: what we fetched, Python finds without network`, async ({ hub, cacheDir, request }) => {
    const { folder } = await downloadFromHub(request(() => true, { type }));
    assert.deepEqual(await pythonOffline(cacheDir, type, "data/posts.csv"), {
      snapshot: folder,
      file: join(folder, "data/posts.csv"),
      refs: [["main"]],
      files: PATHS,
      incomplete: [],
      warnings: [],
    });
    // With network it asks which commit is the latest, and for nothing else.
    const requests = hub.log.length;
    assert.equal(await pythonFetch(hub, cacheDir, type), folder);
    assert.deepEqual([...new Set(hub.log.slice(requests).map(({ route }) => route))], ["revision"]);
  });
}

interopTest("single files of Python's need no request, a predicate needs the list once", async (bench) => {
  const { hub, cacheDir, request } = bench;
  const folder = await pythonFetch(hub, cacheDir, "model", ["config.json", "model.safetensors"]);
  let requests = hub.log.length;
  const listed = await downloadFromHub(request(["config.json", "model.safetensors"]));
  assert.equal(listed.folder, folder);
  assert.equal(hub.log.length, requests);
  const chosen = request((path) => /^(config\.json|model\.safetensors)$/.test(path));
  await downloadFromHub(chosen);
  assert.deepEqual([...new Set(hub.log.slice(requests).map(({ route }) => route))], ["tree"]);
  requests = hub.log.length;
  await downloadFromHub(chosen);
  assert.equal(hub.log.length, requests);
});

interopTest("some files of ours: Python finds them and is told that they are not all", async (bench) => {
  const { cacheDir, request } = bench;
  const { folder } = await downloadFromHub(request(["config.json"]));
  assert.deepEqual(await pythonOffline(cacheDir, "model"), {
    snapshot: "IncompleteSnapshotError",
    file: join(folder, "config.json"),
    refs: [["main"]],
    files: ["config.json"],
    incomplete: [],
    warnings: [],
  });
});

interopTest("a download of ours that broke off is sound to Python, which may end it", async ({ hub, ...bench }) => {
  const { cacheDir, request } = bench;
  hub.script.files.push(
    ...Array(5).fill(() => {
      const headers = { "Content-Length": "300000" };
      return new Response(new Blob(["w".repeat(100)]).stream(), { headers });
    }),
  );
  const files = ["config.json", "model.safetensors"];
  await rejected(downloadFromHub(request(files)), "failure", /in 5 attempts/);
  assert.deepEqual(await pythonOffline(cacheDir, "model"), {
    snapshot: "IncompleteSnapshotError",
    file: join(cacheDir, "models--org--name", "snapshots", COMMIT, "config.json"),
    refs: [["main"]],
    files: ["config.json"],
    incomplete: [100],
    warnings: [],
  });
  const folder = await pythonFetch(hub, cacheDir, "model");
  assert.equal(await Deno.readTextFile(join(folder, "model.safetensors")), MODEL["model.safetensors"]);
  const requests = hub.log.length;
  await downloadFromHub(request(files));
  assert.equal(hub.log.length, requests);
});

interopTest("while Python holds the lock of a file, we wait, and then find it", async (bench) => {
  const { cacheDir, request } = bench;
  const hash = createHash("sha256").update(MODEL["model.safetensors"]).digest("hex");
  const flag = join(cacheDir, "held");
  const isHeld = () => Deno.stat(flag).then(() => true, () => false);
  const lock = { cache: cacheDir, repo: "models--org--name", hash, flag, seconds: 1 };
  const held = askPython("hub_cache.py", ["lock"], lock);
  for (let tries = 0; !await isHeld(); tries++) {
    assert.ok(tries < 3000, "Python takes the lock");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await downloadFromHub(request(["model.safetensors"]));
  assert.ok(!await isHeld(), "ours came after Python's release");
  assert.ok(bench.hub.authorizations.files.length === 1);
  await held;
});
