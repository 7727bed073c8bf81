/** Downloads that break off go on from the byte that they had: in the next try, the next run, the next process. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import fc from "fast-check";
import { downloadFromHub } from "../../lib/weights/hub.ts";
import { type HubCase, hubTest, MODEL, names, rejected, withHub } from "../support/hub_case.ts";
import { COMMIT, type HubServer } from "../support/hub_server.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const NAME = "model.safetensors";
const WEIGHTS = MODEL[NAME];
const SHA256 = createHash("sha256").update(WEIGHTS).digest("hex");

const blobs = (cacheDir: string) => join(cacheDir, "models--org--name", "blobs");
const partial = (cacheDir: string) => join(blobs(cacheDir), `${SHA256}.incomplete`);
/** The bytes of a partial file, 0 where there is none. */
const partialSize = (path: string) => {
  try {
    return Deno.statSync(path).size;
  } catch {
    return 0;
  }
};
/** The Range headers of the requests to the host of large files. */
const ranges = (hub: HubServer) => hub.log.filter(({ route }) => route === "files").map(({ range }) => range);
/** An answer that ends, at the line's fault, after so many bytes. */
const cutAt = (bytes: number, from = 0) => () => {
  const headers = { "Content-Length": `${WEIGHTS.length - from}` };
  const range: Record<string, string> = from === 0
    ? {}
    : { "Content-Range": `bytes ${from}-${WEIGHTS.length - 1}/${WEIGHTS.length}` };
  const body = new Blob([WEIGHTS.slice(from, from + bytes)]).stream();
  return new Response(body, { status: from === 0 ? 200 : 206, headers: { ...headers, ...range } });
};

async function assertWhole({ cacheDir }: HubCase, folder: string): Promise<void> {
  assert.equal(await Deno.readTextFile(join(folder, NAME)), WEIGHTS);
  assert.ok(names(blobs(cacheDir)).every((name) => !name.endsWith(".incomplete")));
}

/** A partial file, as a run that was stopped leaves it. */
async function leave(cacheDir: string, content: string): Promise<void> {
  await Deno.mkdir(blobs(cacheDir), { recursive: true });
  await Deno.writeTextFile(partial(cacheDir), content);
}

Deno.test("property: cut at random bytes, wherever they fall, a download goes on from what it has", async () => {
  let continued = 0;
  const cut = fc.oneof(fc.integer({ min: 1, max: 2000 }), fc.integer({ min: 1, max: 400_000 }));
  await fc.assert(
    fc.asyncProperty(fc.array(cut, { maxLength: 4 }), fc.boolean(), async (cuts, resolveCache) => {
      await withHub(
        async (bench) => {
          const { hub, cacheDir } = bench;
          hub.connections.push(...cuts.map((cutAfter) => ({ cutAfter })));
          let had = 0, asked = 0;
          const check = () => {
            // What was on the disk when the last wait began is what the requests after it begin with.
            for (const range of ranges(hub).slice(asked)) {
              assert.equal(range, had === 0 ? null : `bytes=${had}-`);
              if (had > 0) continued++;
            }
            asked = ranges(hub).length;
            had = partialSize(partial(cacheDir));
          };
          const delay = () => Promise.resolve(check());
          const { folder } = await downloadFromHub(bench.request([NAME, "config.json"], { delay }));
          check();
          await assertWhole(bench, folder);
        },
        {},
        { resolveCache },
      );
    }),
    { numRuns: 25 },
  );
  assert.ok(continued > 0, "some cuts fell into the file");
});

hubTest("what five tries brought stays for the next run", async (bench) => {
  const { hub, cacheDir, request } = bench;
  hub.script.files.push(...[0, 10, 20, 30, 40].map((from) => cutAt(10, from)));
  await rejected(downloadFromHub(request([NAME])), "failure", /in 5 attempts: the connection to 127.*failed/);
  assert.deepEqual(ranges(hub), [null, "bytes=10-", "bytes=20-", "bytes=30-", "bytes=40-"]);
  assert.equal(await Deno.readTextFile(partial(cacheDir)), WEIGHTS.slice(0, 50));
  const received: number[] = [];
  const { folder } = await downloadFromHub(request([NAME], { onProgress: (_, bytes) => received.push(bytes) }));
  assert.equal(ranges(hub).at(-1), "bytes=50-");
  assert.ok(received[0]! > 50, "the bytes of the first run count");
  await assertWhole(bench, folder);
});

hubTest("a partial file of the right bytes needs no request for the file", async (bench) => {
  await leave(bench.cacheDir, WEIGHTS);
  const { folder } = await downloadFromHub(bench.request([NAME]));
  assert.deepEqual(ranges(bench.hub), []);
  await assertWhole(bench, folder);
});

for (
  const [name, content, failures, expected] of [
    ["is of other bytes", "v".repeat(1000), [], ["bytes=1000-", null]],
    ["is of other bytes and whole", "v".repeat(300_000), [], [null]],
    ["is longer than the file", "w".repeat(300_001), [], [null]],
    ["cannot be continued: the server knows no ranges", "w".repeat(1000), [cutAt(1e6)], ["bytes=1000-"]],
    ["cannot be continued: 416", "w".repeat(1000), [() => new Response(null, { status: 416 })], ["bytes=1000-", null]],
    ["is continued with another part", "w".repeat(1000), [cutAt(1e6, 999)], ["bytes=1000-", null]],
  ] as const
) {
  hubTest(`a partial file that ${name} does not spoil the download`, async (bench) => {
    await leave(bench.cacheDir, content);
    bench.hub.script.files.push(...failures);
    const { folder } = await downloadFromHub(bench.request([NAME]));
    assert.deepEqual(ranges(bench.hub), expected);
    await assertWhole(bench, folder);
  });
}

Deno.test("a bad line gets its tries anew while large parts come through", async () => {
  await withHub(async ({ hub, waits, request }) => {
    const size = 60_000_000;
    hub.add("org/large", { "a.bin": new Uint8Array(size) });
    // The first connection is to the hub itself.
    hub.connections.push(undefined, ...Array(6).fill({ cutAfter: 9_000_000 }));
    const { folder } = await downloadFromHub(request(["a.bin"], { repo: "org/large" }));
    assert.equal((await Deno.stat(join(folder, "a.bin"))).size, size);
    assert.deepEqual(waits, Array(6).fill(1000));
  });
});

hubTest("two downloads of a file at once are one", async (bench) => {
  const [one, other] = await Promise.all([1, 2].map(() => downloadFromHub(bench.request([NAME, "config.json"]))));
  assert.deepEqual(one, other);
  assert.deepEqual(ranges(bench.hub), [null]);
  await assertWhole(bench, one!.folder);
});

/** Starts a process that downloads, without the permission to ask for free space. */
function startChild(endpoint: string, cacheDir: string): Deno.ChildProcess {
  const program = new URL("weights_hub_child.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-net", program, endpoint, cacheDir],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

hubTest("a process killed in the middle leaves what it had, and the next goes on from there", async (bench) => {
  const { hub, cacheDir } = bench;
  const half = WEIGHTS.length / 2;
  hub.script.files.push(() => {
    const silence = new TransformStream({ flush: async () => void await hub.silence!(undefined!) });
    const body = new Blob([WEIGHTS.slice(0, half)]).stream().pipeThrough(silence);
    return new Response(body, { headers: { "Content-Length": `${WEIGHTS.length}` } });
  });
  const child = startChild(hub.url, cacheDir);
  for (let tries = 0; partialSize(partial(cacheDir)) < half; tries++) {
    assert.ok(tries < 3000, "the child downloads");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // Ours waits for the child's lock, and has it when the child is dead.
  const ours = downloadFromHub(bench.request([NAME]));
  child.kill("SIGKILL");
  assert.equal((await child.output()).signal, "SIGKILL");
  const { folder } = await ours;
  assert.deepEqual(ranges(hub), [null, `bytes=${half}-`]);
  await assertWhole(bench, folder);
});

Deno.test("a hub whose name is not known is an unreachable one", async () => {
  const cacheDir = await Deno.makeTempDir();
  try {
    const { stdout } = await startChild("http://hub.invalid", cacheDir).output();
    assert.match(
      new TextDecoder().decode(stdout),
      /^failure: .* in 5 attempts: the connection to hub\.invalid failed: /,
    );
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});

hubTest("a host that Deno may not speak with is not tried again", async ({ hub, waits, request }) => {
  hub.script.files.push(() => new Response(null, { status: 302, headers: { Location: "http://10.0.0.1/x?s3cret" } }));
  await assert.rejects(downloadFromHub(request([NAME])), Deno.errors.NotCapable);
  assert.deepEqual(waits, []);
});

const refusal = mountRefusal();

Deno.test({
  name: `a disk without room is seen before the download, and gets its bytes back when it fills up${refusal}`,
  ignore: refusal !== "",
  fn: () =>
    withTmpfs("size=256k", (cacheDir) =>
      withHub(async ({ hub, request }) => {
        await rejected(
          downloadFromHub(request([NAME], { cacheDir })),
          "storage",
          /^The disk is too full for a download: 0\.3 MB needed, 0\.\d MB free \(.*models--org--name\)$/,
          /set HF_HOME to a folder on a larger disk/,
        );
        assert.deepEqual(ranges(hub), []);
        hub.add("org/name", { [NAME]: WEIGHTS.slice(0, 200_000) });
        hub.script.files.push(() => {
          Deno.writeFileSync(join(cacheDir, "filler"), new Uint8Array(150_000));
          return undefined;
        });
        await Deno.remove(join(cacheDir, "models--org--name"), { recursive: true });
        await rejected(downloadFromHub(request([NAME], { cacheDir })), "storage", /0\.2 MB needed, 0\.1 MB free/);
        assert.deepEqual(names(blobs(cacheDir)), []);
      })),
});

hubTest("a run after one that broke off keeps to its commit, also when the branch has moved", async (bench) => {
  const { hub, cacheDir, request } = bench;
  hub.script.files.push(...Array(5).fill(cutAt(0)));
  await rejected(downloadFromHub(request([NAME])), "failure", /in 5 attempts/);
  hub.script.revision.push(() => Response.json({ _id: "1", id: "org/name", sha: "f".repeat(40) }));
  const { commit, folder } = await downloadFromHub(request([NAME]));
  assert.equal(commit, COMMIT);
  assert.deepEqual(names(cacheDir, "models--org--name", "snapshots"), [COMMIT]);
  await assertWhole(bench, folder);
});
