/** The hub and its cache: what is fetched, what is not fetched again, and what is refused before anything is fetched. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { downloadFromHub } from "../../lib/weights/hub.ts";
import { hubCacheFolder, hubEndpoint, hubToken, isOffline } from "../../lib/weights/hub_environment.ts";
import { resolvePretrained } from "../../lib/weights/pretrained.ts";
import { hubTest, MODEL, names, rejected } from "../support/hub_case.ts";
import { COMMIT } from "../support/hub_server.ts";

hubTest(
  "a model is fetched into the standard cache once, without what is not needed",
  async ({ hub, cacheDir, options }) => {
    const { folder, id, revision } = await resolvePretrained("org/name", options);
    assert.deepEqual([id, revision], ["org/name", COMMIT]);
    assert.equal(folder, join(cacheDir, "models--org--name", "snapshots", COMMIT));
    assert.deepEqual([...Deno.readDirSync(folder)].map((entry) => entry.name).sort(), [
      "config.json",
      "model.safetensors",
      "vocab.txt",
    ]);
    assert.equal(await Deno.readTextFile(join(folder, "model.safetensors")), MODEL["model.safetensors"]);
    assert.equal(await Deno.readTextFile(join(cacheDir, "models--org--name", "refs", "main")), COMMIT);
    assert.ok(Deno.lstatSync(join(folder, "config.json")).isSymlink);
    const blobs = [...Deno.readDirSync(join(cacheDir, "models--org--name", "blobs"))];
    assert.equal(blobs.length, 3, "nothing incomplete is left");

    const requests = hub.requests.length;
    assert.equal((await resolvePretrained("org/name", options)).folder, folder);
    assert.equal((await resolvePretrained("org/name", { ...options, revision: COMMIT })).folder, folder);
    assert.equal(hub.requests.length, requests, "the second time comes from the cache alone");
  },
);

hubTest("dataset files are chosen by list or predicate", async ({ cacheDir, options }) => {
  const request = { ...options, repo: "org/name", type: "dataset" } as const;
  const listed = await downloadFromHub({ ...request, files: ["data/posts.csv"] });
  assert.equal(listed.folder, join(cacheDir, "datasets--org--name", "snapshots", COMMIT));
  assert.equal(await Deno.readTextFile(join(listed.folder, "data/posts.csv")), MODEL["data/posts.csv"]);
  const chosen = await downloadFromHub({ ...request, files: (path) => /\.(csv|md)$/.test(path) });
  assert.deepEqual(chosen.files, ["README.md", "data/posts.csv"]);
  await rejected(
    downloadFromHub({ ...request, files: ["none.csv"] }),
    "input",
    /dataset "org\/name" has no file none\.csv/,
  );
});

hubTest("the token goes to the hub and not to the host of the files", async ({ hub, options }) => {
  await resolvePretrained("org/name", options);
  assert.ok(hub.authorizations.hub.every((header) => header === "Bearer secret-token"));
  assert.ok(hub.authorizations.files.length > 0 && hub.authorizations.files.every((header) => header === null));
}, { HF_TOKEN: "secret-token" });

hubTest("a cache that Python's library filled will do when the hub is out of reach", async ({ cacheDir, options }) => {
  const repo = join(cacheDir, "models--org--name"), snapshot = join(repo, "snapshots", COMMIT);
  await rejected(resolvePretrained("org/name", options), "input", /HF_HUB_OFFLINE/);
  await Deno.mkdir(join(repo, "refs"), { recursive: true });
  await Deno.mkdir(snapshot, { recursive: true });
  await Deno.writeTextFile(join(repo, "refs", "main"), COMMIT);
  await rejected(resolvePretrained("org/name", options), "input", /HF_HUB_OFFLINE/);
  await Deno.writeTextFile(join(snapshot, "config.json"), "{}");
  await Deno.writeTextFile(join(snapshot, "model.safetensors"), "w");
  assert.equal((await resolvePretrained("org/name", options)).folder, snapshot);
}, { HF_HUB_OFFLINE: "1" });

hubTest("names that lead elsewhere are refused before any request", async ({ hub, options }) => {
  for (const repo of ["../etc", "a/../b", "a b/c", "org/name--x", "", "org/.."]) {
    await rejected(
      downloadFromHub({ ...options, repo, type: "model", files: [] }),
      "input",
      /neither a local folder nor/,
    );
  }
  for (const revision of ["../main", "/main", "a/../../b", ""]) {
    await rejected(
      downloadFromHub({ ...options, repo: "a/b", type: "model", revision, files: [] }),
      "input",
      /revision/,
    );
  }
  assert.equal(hub.log.length, 0);
});

Deno.test("local folders are used as they are; what is missing is named", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await rejected(resolvePretrained(folder), "input", /has no config\.json/);
    await Deno.writeTextFile(join(folder, "config.json"), "{}");
    assert.deepEqual(await resolvePretrained(folder), { folder, id: folder, revision: "local" });
    for (const path of [join(folder, "none"), "./none", "../none/model", "models/bert/"]) {
      await rejected(resolvePretrained(path), "input", /There is no model folder/, /Check the path/);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the cache folder follows Hugging Face's variables", () => {
  const folder = (variables: Record<string, string>) => hubCacheFolder((name) => variables[name]);
  assert.equal(folder({ HF_HUB_CACHE: "/a", HF_HOME: "/b" }), "/a");
  assert.equal(folder({ HUGGINGFACE_HUB_CACHE: "/c", HF_HOME: "/b" }), "/c");
  assert.equal(folder({ HF_HOME: "/b", XDG_CACHE_HOME: "/d" }), "/b/hub");
  assert.equal(folder({ XDG_CACHE_HOME: "/d" }), "/d/huggingface/hub");
  assert.equal(folder({ HOME: "/e" }), "/e/.cache/huggingface/hub");
  assert.throws(() => folder({}), /no home folder is known/);
});

hubTest("files that the hub may not list are refused", async ({ hub, request }) => {
  const oid = "0".repeat(40);
  const listed = (entry: object) => void hub.script.tree.push(() => Response.json([{ type: "file", ...entry }]));
  const download = () => downloadFromHub(request(() => true, { revision: COMMIT }));
  for (const path of ["../../x", "/etc/x", "a//b", "C:\\x", "a/./b"]) {
    listed({ path, size: 1, oid });
    await rejected(download(), "input", /lists the path/);
  }
  listed({ path: "a", size: 1, oid: "../../../etc/x" });
  await rejected(download(), "input", /lists a without a hash/);
  for (const size of [-1, 0.5, 1e300]) {
    listed({ path: "a", size, oid });
    await rejected(download(), "input", /lists a with the size/);
  }
});

hubTest("a list of files that are all there needs no request, not even for their list", async ({ hub, ...bench }) => {
  const { cacheDir, request } = bench;
  const repo = join(cacheDir, "models--org--name"), snapshot = join(repo, "snapshots", COMMIT);
  await Deno.mkdir(join(repo, "refs"), { recursive: true });
  await Deno.mkdir(snapshot, { recursive: true });
  await Deno.writeTextFile(join(repo, "refs", "main"), COMMIT);
  await Deno.writeTextFile(join(snapshot, "config.json"), MODEL["config.json"]);
  assert.equal((await downloadFromHub(request(["config.json"]))).folder, snapshot);
  assert.equal(hub.log.length, 0);

  // A predicate may mean more than is there: the list is asked for once and then known.
  const some = request((path) => /\.(json|csv)$/.test(path));
  assert.deepEqual((await downloadFromHub(some)).files, ["config.json", "data/posts.csv"]);
  assert.deepEqual([...new Set(hub.log.map(({ route }) => route))], ["tree", "resolve"]);
  assert.ok(!hub.log.some(({ path }) => path.endsWith("config.json")), "what is there is not fetched");
  const requests = hub.log.length;
  await downloadFromHub(some);
  assert.equal(hub.log.length, requests);
});

hubTest("when the hub is out of reach, a predicate takes what is there", async ({ hub, cacheDir, request }) => {
  await downloadFromHub(request(["config.json"]));
  await Deno.remove(join(cacheDir, "models--org--name", "trees"), { recursive: true });
  hub.failures.push(...Array(5).fill(() => new Response("down", { status: 503 })));
  assert.deepEqual((await downloadFromHub(request(() => true))).files, ["config.json"]);
});

hubTest(
  "branches and tags may hold slashes; paths any character",
  async ({ hub, cacheDir, request }) => {
    const odd = "odd #1 50%?/é+ü.txt";
    hub.add("org/name", { [odd]: "here", "other%2F.bin": "x".repeat(500) });
    const { folder } = await downloadFromHub(request(() => true, { revision: "refs/pr/1" }));
    assert.equal(await Deno.readTextFile(join(folder, odd)), "here");
    assert.deepEqual(names(folder), ["odd #1 50%?", "other%2F.bin"]);
    assert.equal(await Deno.readTextFile(join(cacheDir, "models--org--name/refs/refs/pr/1")), COMMIT);
  },
  {},
  { revisions: ["refs/pr/1"], resolveCache: true },
);

hubTest("progress goes from the first byte to the last of each file", async ({ request }) => {
  const seen: [string, number, number][] = [], begun: string[] = [];
  await downloadFromHub(request(() => true, {
    onDownload: (path) => begun.push(path),
    onProgress: (...progress) => seen.push(progress),
  }));
  assert.deepEqual(begun, Object.keys(MODEL));
  for (const [path, content] of Object.entries(MODEL)) {
    const received = seen.filter(([name]) => name === path).map(([, received]) => received);
    const size = new TextEncoder().encode(content).length;
    assert.deepEqual(received, received.toSorted((a, b) => a - b));
    if (size > 0) assert.equal(received.at(-1), size);
    assert.ok(seen.every(([name, , bytes]) => name !== path || bytes === size));
  }
});

hubTest("a download is ended by its signal, also while it waits", async ({ hub, options, request }) => {
  const during = new AbortController();
  const why = new Error("enough");
  hub.script.files.push((request) => {
    during.abort(why);
    return hub.silence?.(request);
  });
  await assert.rejects(downloadFromHub(request(["model.safetensors"], { signal: during.signal })), why);
  const waiting = new AbortController();
  const delay = () => new Promise<void>(() => waiting.abort(why));
  hub.script.files.push(() => new Response(null, { status: 503 }));
  const again = { ...request(["model.safetensors"]), ...options, delay, signal: waiting.signal };
  await assert.rejects(downloadFromHub(again), why);
});

Deno.test("the token is HF_TOKEN, else what `hf auth login` wrote", async () => {
  const home = await Deno.makeTempDir();
  try {
    const token = (variables: Record<string, string>) => hubToken((name) => variables[name]);
    assert.equal(await token({ HF_HOME: home }), undefined);
    await Deno.writeTextFile(join(home, "token"), "hf_file\n");
    await Deno.writeTextFile(join(home, "other"), " hf_other ");
    assert.equal(await token({ HF_HOME: home }), "hf_file");
    assert.equal(await token({ HF_HOME: home, HF_TOKEN: " hf_set\n" }), "hf_set");
    assert.equal(await token({ HF_HOME: home, HF_TOKEN: "", HUGGING_FACE_HUB_TOKEN: "hf_old" }), "hf_old");
    assert.equal(await token({ HF_HOME: home, HF_TOKEN_PATH: join(home, "other") }), "hf_other");
    assert.equal(await token({ HOME: home, HF_TOKEN_PATH: "~/other" }), "hf_other");
    assert.equal(await token({ HOME: join(home, "token") }), undefined);
    await rejected(token({ HF_TOKEN: "s3cret\nsecret" }), "input", /HF_TOKEN holds no token/);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

hubTest("an address that cannot be a hub's is refused without its password", async ({ options, request }) => {
  for (const endpoint of ["nowhere", "ftp://a/b", "https://user:s3cret@hub.example", "http://a?x=1"]) {
    const env = (name: string) => name === "HF_ENDPOINT" ? endpoint : options.env(name);
    await rejected(downloadFromHub(request([], { env })), "input", /HF_ENDPOINT (is no address|holds a password)/);
  }
});

Deno.test("commands may read every variable that the hub's settings are taken from", async () => {
  const read = new Set<string>();
  const env = (name: string) => void read.add(name);
  assert.throws(() => hubCacheFolder(env));
  hubEndpoint(env);
  isOffline(env);
  await hubToken(env);
  const { permissions } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  assert.deepEqual([...read].filter((name) => !permissions.train.env.includes(name)), []);
});
