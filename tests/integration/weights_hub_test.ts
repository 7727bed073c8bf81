import assert from "node:assert/strict";
import { join } from "node:path";
import { WinnowError } from "../../lib/support/errors.ts";
import { downloadFromHub } from "../../lib/weights/hub.ts";
import { hubCacheFolder } from "../../lib/weights/hub_cache.ts";
import { resolvePretrained } from "../../lib/weights/pretrained.ts";
import { COMMIT, type HubServer, startHub } from "../support/hub_server.ts";

const MODEL = {
  "config.json": '{"model_type":"bert"}',
  "vocab.txt": "",
  "model.safetensors": "w".repeat(300_000),
  "README.md": "# A model",
  "pytorch_model.bin": "p".repeat(200),
  "data/posts.csv": "post_id,text\n1,héllo\n",
};

interface Bench {
  hub: HubServer;
  cacheDir: string;
  /** Milliseconds of each wait between attempts; none is waited. */
  waits: number[];
  options: {
    cacheDir: string;
    delay: (milliseconds: number) => Promise<void>;
    env: (name: string) => string | undefined;
  };
}

/** Runs a test against a fresh hub and cache, with the environment that it needs. */
function hubTest(name: string, body: (bench: Bench) => Promise<void>, env: Record<string, string> = {}): void {
  Deno.test(name, async () => {
    await using hub = startHub(MODEL);
    const cacheDir = await Deno.makeTempDir();
    const waits: number[] = [];
    const variables: Record<string, string> = { HF_ENDPOINT: hub.url, ...env };
    const delay = (milliseconds: number) => Promise.resolve(void waits.push(milliseconds));
    try {
      await body({ hub, cacheDir, waits, options: { cacheDir, delay, env: (name) => variables[name] } });
    } finally {
      await Deno.remove(cacheDir, { recursive: true });
    }
  });
}

const status = (code: number) => () => Response.json({ error: `status ${code}` }, { status: code });

async function rejected(action: Promise<unknown>, kind: string, message: RegExp, remedy = /./): Promise<void> {
  await assert.rejects(action, (error) => {
    assert.ok(error instanceof WinnowError, String(error));
    assert.equal(error.kind, kind);
    assert.match(error.message, message);
    assert.match(error.remedy, remedy);
    return true;
  });
}

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

hubTest("what may pass is tried again after 1, 2, 4, 8 seconds", async ({ hub, waits, options }) => {
  hub.failures.push(status(503), status(429), status(500), status(502));
  await resolvePretrained("org/name", options);
  assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
});

hubTest("after 5 attempts it is given up", async ({ hub, waits, options }) => {
  hub.failures.push(...Array(9).fill(status(503)));
  await rejected(
    resolvePretrained("org/name", options),
    "failure",
    /did not deliver the model "org\/name" in 5 attempts/,
  );
  assert.deepEqual([waits, hub.requests.length], [[1000, 2000, 4000, 8000], 5]);
});

hubTest("401, 403 and 404 are not tried again and say what to do", async ({ hub, waits, options }) => {
  hub.failures.push(status(401));
  await rejected(resolvePretrained("org/name", options), "input", /gated or private/, /Accept its terms .*HF_TOKEN/);
  hub.failures.push(status(403));
  await rejected(resolvePretrained("org/name", options), "input", /refuses access/, /Accept its terms .*HF_TOKEN/);
  await rejected(resolvePretrained("org/other", options), "input", /has no model "org\/other"/, /Check the id/);
  await rejected(resolvePretrained("org/name", { ...options, revision: "v9" }), "input", /at that revision \(404\)/);
  assert.deepEqual([waits, hub.requests.length], [[], 4]);
});

hubTest(
  "a file that breaks off or comes damaged is fetched again, and never kept",
  async ({ hub, waits, cacheDir, options }) => {
    const request = { ...options, repo: "org/name", type: "model", files: ["config.json"] } as const;
    const first = [undefined, undefined, undefined]; // revision, two pages of files
    hub.failures.push(...first, undefined, () => new Response("{}"), undefined, status(503));
    hub.failures.push(
      undefined,
      () => new Response('{"model_type":"BERT"}'),
      undefined,
      () => new Response("x".repeat(1000)),
    );
    const { folder } = await downloadFromHub(request);
    assert.deepEqual(waits, [1000, 2000, 4000, 8000]);
    assert.equal(await Deno.readTextFile(join(folder, "config.json")), MODEL["config.json"]);
    assert.equal([...Deno.readDirSync(join(cacheDir, "models--org--name", "blobs"))].length, 1);

    Deno.removeSync(join(folder, "config.json"));
    Deno.writeTextFileSync(join(folder, "config.json"), "{"); // a truncated copy is seen and replaced
    await downloadFromHub(request);
    assert.equal(await Deno.readTextFile(join(folder, "config.json")), MODEL["config.json"]);
  },
);

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

hubTest("an unreachable hub is tried 5 times", async ({ waits, options }) => {
  await rejected(resolvePretrained("org/name", options), "failure", /in 5 attempts/, /local folder/);
  assert.equal(waits.length, 4);
}, { HF_ENDPOINT: "http://127.0.0.1:1" });

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
  const tree = (path: string) => () => Response.json([{ type: "file", path, size: 1, oid: "0".repeat(40) }]);
  for (const path of ["../../x", "/etc/x", "a//b", "C:\\x"]) {
    hub.failures.push(tree(path));
    const request = { ...options, repo: "org/name", type: "model", revision: COMMIT, files: () => true } as const;
    await rejected(downloadFromHub(request), "input", /lists the path/);
  }
  assert.equal(hub.requests.length, 4);
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
