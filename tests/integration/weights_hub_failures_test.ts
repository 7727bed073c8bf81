/** Every way in which a hub fails: each ends in a retry that succeeds, or in one clear error. */
import assert from "node:assert/strict";
import { downloadFromHub, type HubRequest } from "../../lib/weights/hub.ts";
import { hubGet } from "../../lib/weights/hub_http.ts";
import { type HubCase, hubTest, MODEL, names, rejected, withHub } from "../support/hub_case.ts";
import { COMMIT, type Failure, type HubOptions, refuse, type Route } from "../support/hub_server.ts";

const FILES = ["config.json", "model.safetensors"];
const ROUTES: Route[] = ["revision", "tree", "resolve", "files"];
/** Waits before the tries after the first. */
const WAITS = [1000, 2000, 4000, 8000];

const status = (code: number, word = "", headers = {}) => () => refuse(code, word, headers);
/** An answer that ends before its length. */
const cut = (content: string, length: number) => () =>
  new Response(new Blob([content]).stream(), { headers: { "Content-Length": `${length}` } });
/** The first bytes of what the routes answer with, and the length of that. */
const BEGINNINGS: Record<Route, [content: string, length: number]> = {
  revision: ["{", 300],
  tree: ["[", 300],
  resolve: ["{", 21],
  files: ["www", 300_000],
};
const page = () => new Response("<html>Please log in</html>", { headers: { "Content-Type": "text/html" } });
const goTo = (location: string, code = 302) => () => new Response(null, { status: code, headers: { location } });

/** One way to fail. */
interface Case {
  /** Sets it up. */
  before: (bench: HubCase) => void;
  /** The waits between tries; [1000], one retry, unless given. */
  waits?: number[];
  /** How it ends: in the files, unless this is given. */
  error?: [kind: string, message: RegExp, remedy?: RegExp];
  more?: Partial<HubRequest>;
  env?: Record<string, string>;
  hub?: HubOptions;
}

async function check({ before, waits = [1000], error, more, env, hub }: Case): Promise<void> {
  await withHub(
    async (bench) => {
      before(bench);
      const download = () => downloadFromHub(bench.request(FILES, more));
      if (error) await rejected(download(), ...error);
      else {
        const { folder } = await download();
        for (const name of FILES) {
          assert.equal(await Deno.readTextFile(`${folder}/${name}`), MODEL[name as keyof typeof MODEL]);
        }
        assert.equal(names(bench.cacheDir, "models--org--name", "blobs").length, FILES.length, "nothing is left over");
      }
      assert.deepEqual(bench.waits, waits);
    },
    env,
    hub,
  );
}

const script = (route: Route, ...failures: Failure[]) => ({ hub }: HubCase) => void hub.script[route].push(...failures);
const cases: Record<string, Case> = {};

for (const route of ROUTES) {
  for (const code of [408, 429, 500, 502, 503, 504]) {
    cases[`${route}: ${code}, then well`] = { before: script(route, status(code)) };
  }
  cases[`${route}: five different ones`] = {
    before: script(route, status(503), status(429), status(500), cut(...BEGINNINGS[route])),
    waits: WAITS,
  };
  cases[`${route}: five times 503`] = {
    before: script(route, ...Array(6).fill(status(503))),
    waits: WAITS,
    error: ["failure", /did not deliver the model "org\/name" in 5 attempts: .* answers 503/, /Check the network/],
  };
  cases[`${route}: silence${route === "resolve" || route === "files" ? " in the middle" : ""}`] = {
    before: ({ hub }) =>
      void hub.script[route].push(() => {
        if (route === "revision" || route === "tree") return hub.silence!(undefined!);
        const [content, length] = BEGINNINGS[route];
        const silence = new TransformStream({ flush: async () => void await hub.silence!(undefined!) });
        const body = new Blob([content]).stream().pipeThrough(silence);
        return new Response(body, { headers: { "Content-Length": `${length}` } });
      }),
    more: { stallTimeout: 400 },
  };
  cases[`${route}: cut in the body`] = { before: script(route, cut(...BEGINNINGS[route])) };
  cases[`${route}: redirects in circles`] = {
    before: ({ hub }) => {
      for (let i = 0; i < 11; i++) hub.script[route].push((request) => goTo(new URL(request.url).pathname + `?${i}`)());
      if (route === "files") hub.script.files.fill((request) => goTo(request.url)());
    },
    waits: [],
    error: ["failure", /127\.0\.0\.1:\d+ redirects in circles/, /HF_ENDPOINT/],
  };
  for (const [location, shown] of [["file:///etc/passwd", "file://"], ["http://[", "no address"]] as const) {
    cases[`${route}: redirects to ${location}`] = {
      before: script(route, goTo(location)),
      waits: [],
      error: ["failure", new RegExp(`redirects to ${shown}, which is not followed`)],
    };
  }
  if (route === "files") continue;
  const terms = /Accept its terms at http:\/\/127\.0\.0\.1:\d+\/org\/name and set HF_TOKEN/;
  const permanent: [string, Failure, RegExp, RegExp][] = [
    ["401", status(401), /asks for a login .* gated or private, or there is none of that name \(401\)/, terms],
    ["403", status(403), /refuses access to the model "org\/name" \(403\)/, terms],
    ["gated, 401", status(401, "GatedRepo"), /The model "org\/name" is gated .* \(401\)/, terms],
    ["gated, 403", status(403, "GatedRepo"), /The model "org\/name" is gated .* \(403\)/, terms],
    ["404", status(404), /has no model "org\/name" at that revision \(404\)/, /Check the id and the revision/],
    ["no repository", status(404, "RepoNotFound"), /has no model "org\/name", or it is private/, /Check the id/],
    ["no revision", status(404, "RevisionNotFound"), /not at that revision \(404\)/, /Choose a branch, tag or commit/],
    ["no file", status(404, "EntryNotFound"), /not a file that it lists \(404\)/, /Look at the files/],
    ["400", status(400), /refuses the request for the model "org\/name" \(400\): status 400/, /Check the id/],
    ["410", status(410), /refuses the request .*\(410\)/, /Check the id/],
  ];
  for (const [name, failure, message, remedy] of permanent) {
    cases[`${route}: ${name}`] = { before: script(route, failure), waits: [], error: ["input", message, remedy] };
  }
}

for (const route of ["revision", "tree"] as const) {
  const form = /answers with JSON of another form|names no commit/;
  for (
    const [name, answer, message] of [
      ["a page for people", page, /answers with text\/html that is no JSON/],
      ["half a JSON text", () => new Response('[{"path":'), /that is no JSON/],
      ["null", () => Response.json(null), form],
      ["a number", () => Response.json(7), form],
      ["more than fits", () => new Response("[" + " ".repeat(33_000_000)), /more than 32000000 bytes/],
    ] as const
  ) {
    cases[`${route}: ${name}`] = {
      before: script(route, answer),
      waits: [],
      error: ["failure", message, /HF_ENDPOINT/],
    };
  }
}
cases["revision: no commit"] = {
  before: script("revision", () => Response.json({ id: "org/name", sha: "main" })),
  waits: [],
  error: ["failure", /names no commit/],
};
cases["tree: a page that leads to itself"] = {
  before: ({ hub }) => {
    const headers = { Link: `<${hub.url}/api/models/org/name/tree/${COMMIT}?x>; rel="next"` };
    for (let i = 0; i < 9; i++) hub.script.tree.push(() => Response.json([], { headers }));
  },
  waits: [],
  error: ["failure", /lists files without end/],
};
cases["tree: a file of the list is missing"] = {
  before: script("tree", () => Response.json([])),
  waits: [],
  error: ["input", /The model "org\/name" has no file config\.json/],
};

for (
  const [name, headers, wait] of [
    ["seconds", { "Retry-After": "7" }, 7000],
    ["a date", { Date: "Thu, 01 Jan 2026 00:00:00 GMT", "Retry-After": "Thu, 01 Jan 2026 00:01:30 GMT" }, 90_000],
    ["a date that is over", { "Retry-After": "Thu, 01 Jan 2026 00:01:30 GMT" }, 1000],
    ["nonsense", { "Retry-After": "soon" }, 1000],
    ["a day, of which five minutes are waited", { "Retry-After": "86400" }, 300_000],
    ["the hub's rate limit", { RateLimit: '"api";r=0;t=55' }, 55_000],
  ] as const
) {
  cases[`429 that asks for a wait: ${name}`] = { before: script("tree", status(429, "", headers)), waits: [wait] };
}

cases["a signed link that has run out is asked for anew"] = { before: script("files", status(403)) };
cases["signed links that are always refused"] = {
  before: script("files", ...Array(5).fill(status(403))),
  waits: WAITS,
  error: ["failure", /in 5 attempts: 127\.0\.0\.1:\d+ answers 403/],
};
cases["a file that the second host does not have"] = {
  before: script("files", status(404)),
  waits: [],
  error: ["input", /127\.0\.0\.1:\d+, which serves files of the model "org\/name", refuses one \(404\)/],
};

const connections = (...faults: HubCase["hub"]["connections"]) => ({ hub }: HubCase) =>
  void hub.connections.push(...faults);
cases["a connection that is closed at once"] = { before: connections({ raw: "" }) };
cases["a connection cut in the status line"] = { before: connections({ cutAfter: 10 }) };
cases["a connection cut in the headers"] = { before: connections({ cutAfter: 60 }) };
cases["no HTTP"] = { before: connections({ raw: "SSH-2.0-OpenSSH_9.6\r\n" }) };
cases["a connection that is closed five times"] = {
  before: connections(...Array(9).fill({ raw: "" })),
  waits: WAITS,
  error: ["failure", /in 5 attempts: the connection to 127\.0\.0\.1:\d+ failed: /],
};
cases["connection refused"] = {
  before: () => {},
  waits: WAITS,
  env: { HF_ENDPOINT: `http://127.0.0.1:${closedPort()}` },
  error: ["failure", /in 5 attempts: the connection to 127\.0\.0\.1:\d+ failed: .*refused/, /local folder/],
};

const sized = (content: string) => () => new Response(content);
const streamed = (content: string) => () => new Response(new Blob([content]).stream()); // without a length
cases["a file of another length"] = { before: script("resolve", sized("{}")) };
cases["a longer file"] = { before: script("resolve", sized("x".repeat(1000))) };
cases["a page for people in place of a file"] = { before: script("resolve", page) };
cases["a shorter file that does not tell"] = { before: script("resolve", streamed('{"model')) };
cases["a shorter and wrong file that does not tell"] = {
  before: script("resolve", streamed("{}")),
  waits: [1000, 2000], // continued, found to be wrong, and fetched from its beginning
};
cases["a page for people without a length"] = {
  before: script(
    "resolve",
    () => new Response(page().body, { headers: { "Content-Type": "text/html; charset=utf-8" } }),
  ),
};
cases["a longer file that does not tell"] = { before: script("resolve", streamed("x".repeat(1000))) };
cases["a file with another content"] = { before: script("resolve", sized('{"model_type":"BERT"}')) };
cases["a large file with another content"] = { before: script("files", sized("v".repeat(300_000))) };
cases["no content"] = { before: script("resolve", () => new Response(null, { status: 204 })) };
cases["contents that change"] = {
  before: script("files", ...["a", "b", "c", "d", "e"].map((letter) => sized(letter.repeat(300_000)))),
  waits: WAITS,
  error: [
    "failure",
    /in 5 attempts: model\.safetensors came with the hash [0-9a-f]{64}, but the hub lists [0-9a-f]{64}/,
  ],
};

const access = { token: "hf_good_secret" };
const login: Case["error"] = ["input", /asks for a login .*\(401\): Invalid username or password\./, /HF_TOKEN/];
cases["private: no token"] = { before: () => {}, hub: access, waits: [], error: login };
cases["private: a token that has expired"] = {
  before: () => {},
  hub: access,
  env: { HF_TOKEN: "hf_old_secret" },
  waits: [],
  error: ["input", /does not accept the token .*\(401\): Invalid credentials/, /HF_TOKEN to a valid token; it may/],
};
cases["private: the token"] = { before: () => {}, hub: access, env: { HF_TOKEN: "hf_good_secret" }, waits: [] };
for (const [name, env] of [["no token", {}], ["the token of another", { HF_TOKEN: "hf_other_secret" }]] as const) {
  cases[`gated: ${name}`] = {
    before: () => {},
    hub: { ...access, gated: true },
    env,
    waits: [],
    error: [
      "input",
      /is gated and http.* refuses access \(40[13]\)/,
      /Accept its terms at .*\/org\/name and set HF_TOKEN/,
    ],
  };
}
cases["a token that the hub repeats"] = {
  before: script("revision", status(403, "", { "X-Error-Message": "Bearer hf_my_secret\tmay not" })),
  env: { HF_TOKEN: "hf_my_secret" },
  waits: [],
  error: ["input", /\(403\): Bearer \*\*\* may not$/],
};
cases["offline"] = {
  before: () => {},
  env: { HF_HUB_OFFLINE: "on" },
  waits: [],
  error: ["input", /The cache does not hold the model "org\/name", and HF_HUB_OFFLINE is set/],
};

Deno.test("every failure ends in a retry that succeeds or in one clear error", async (t) => {
  for (const [name, one] of Object.entries(cases)) await t.step(name, () => check(one));
});

hubTest("a wrong hash is refused at the second time, and nothing of it is kept", async ({ hub, waits, ...bench }) => {
  hub.script.files.push(...Array(5).fill(() => new Response("v".repeat(300_000))));
  const digest = async (content: string) => {
    const bytes = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(content));
    return new Uint8Array(bytes).toHex();
  };
  const found = await digest("v".repeat(300_000)), expected = await digest(MODEL["model.safetensors"]);
  await rejected(
    downloadFromHub(bench.request(FILES)),
    "failure",
    new RegExp(`^model\\.safetensors came with the hash ${found}, but the hub lists ${expected}, twice$`),
    /owner of the repository/,
  );
  assert.deepEqual(waits, [1000]);
  assert.equal(names(bench.cacheDir, "models--org--name", "blobs").length, 1, "config.json alone");
});

hubTest("a retry is announced with its reason and its wait", async ({ hub, request }) => {
  const announced: [string, number][] = [];
  hub.script.tree.push(status(503));
  await downloadFromHub(request(FILES, { onRetry: (...retry) => announced.push(retry) }));
  assert.equal(announced.length, 1);
  assert.match(announced[0]![0], /^127\.0\.0\.1:\d+ answers 503: status 503$/);
  assert.equal(announced[0]![1], 1000);
});

hubTest(
  "the token stays with the hub through redirects of both kinds",
  async ({ hub, request }) => {
    const { folder } = await downloadFromHub(request(() => true));
    assert.equal(await Deno.readTextFile(`${folder}/config.json`), MODEL["config.json"]);
    assert.ok(hub.log.some(({ path }) => path.startsWith("/api/resolve-cache/")), "redirected on the hub itself");
    for (const { route, authorization } of hub.log) {
      assert.equal(authorization, route === "files" ? null : "Bearer hf_good_secret");
    }
    assert.ok(hub.authorizations.files.length > 0);
  },
  { HF_TOKEN: "hf_good_secret" },
  { token: "hf_good_secret", resolveCache: true },
);

Deno.test("redirects do not lead out of encryption, and the token goes along to the hub's own only", async () => {
  // No certificate is to be had here, so fetch is told what https servers say.
  const real = globalThis.fetch;
  const seen: [string, string | null][] = [];
  const answers: Record<string, string> = {
    "http://hub.example/": "https://hub.example/a",
    "https://hub.example/a": "https://files.hub.example/b",
    "https://files.hub.example/b": "https://hub.example/c",
    "https://hub.example/c": "http://hub.example/d?signature=s3cret",
  };
  globalThis.fetch = (input, init) => {
    seen.push([String(input), new Headers(init?.headers).get("Authorization")]);
    return Promise.resolve(new Response(null, { status: 307, headers: { Location: answers[String(input)]! } }));
  };
  try {
    const access = { endpoint: "http://hub.example", token: "hf_secret", stallTimeout: 1000 };
    await rejected(
      hubGet(access, "http://hub.example/", {}, () => Promise.resolve()),
      "failure",
      /^hub\.example redirects to http:\/\/hub\.example, which is not followed$/,
    );
  } finally {
    globalThis.fetch = real;
  }
  assert.deepEqual(seen.map(([url, token]) => [url, token !== null]), [
    ["http://hub.example/", true],
    ["https://hub.example/a", true],
    ["https://files.hub.example/b", false],
    ["https://hub.example/c", true],
  ]);
});

/** A port that nothing listens on. */
function closedPort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}
