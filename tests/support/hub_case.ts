/** What the tests of the hub share: a small model, a fresh hub and cache for each test, and waits that do not wait. */
import assert from "node:assert/strict";
import { WinnowError } from "../../lib/support/errors.ts";
import type { HubRequest } from "../../lib/weights/hub.ts";
import { type HubOptions, type HubServer, startHub } from "./hub_server.ts";

/** The files of org/name: two from the host of large files, one empty. */
export const MODEL = {
  "config.json": '{"model_type":"bert"}',
  "vocab.txt": "",
  "model.safetensors": "w".repeat(300_000),
  "README.md": "# A model",
  "pytorch_model.bin": "p".repeat(200),
  "data/posts.csv": "post_id,text\n1,héllo\n",
};

/** A fresh hub and cache. */
export interface HubCase {
  hub: HubServer;
  cacheDir: string;
  /** Milliseconds of each wait between attempts; none is waited. */
  waits: number[];
  options: Required<Pick<HubRequest, "cacheDir" | "delay" | "env">>;
  /** For `downloadFromHub`: the model org/name with these files. */
  request: (files: HubRequest["files"], more?: Partial<HubRequest>) => HubRequest;
}

/** Runs a body against a fresh hub and cache, with the environment that it needs. */
export async function withHub(
  body: (bench: HubCase) => Promise<void>,
  env: Record<string, string> = {},
  hubOptions: HubOptions = {},
): Promise<void> {
  await using hub = startHub(MODEL, hubOptions);
  const cacheDir = await Deno.makeTempDir();
  const waits: number[] = [];
  const variables: Record<string, string> = { HF_ENDPOINT: hub.url, ...env };
  const delay = (milliseconds: number) => Promise.resolve(void waits.push(milliseconds));
  const options = { cacheDir, delay, env: (name: string) => variables[name] };
  try {
    await body({
      ...{ hub, cacheDir, waits, options },
      request: (files, more = {}) => ({ ...options, repo: "org/name", type: "model", files, ...more }),
    });
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
}

/** A test against a fresh hub and cache. */
export function hubTest(
  name: string,
  body: (bench: HubCase) => Promise<void>,
  env: Record<string, string> = {},
  hubOptions: HubOptions = {},
): void {
  Deno.test(name, () => withHub(body, env, hubOptions));
}

/** Checks that an action fails with one clear error, which shows no token and no signed link. */
export async function rejected(action: Promise<unknown>, kind: string, message: RegExp, remedy = /./): Promise<void> {
  await assert.rejects(action, (error) => {
    assert.ok(error instanceof WinnowError, String(error));
    assert.equal(error.kind, kind, error.message);
    assert.match(error.message, message);
    assert.match(error.remedy, remedy);
    assert.doesNotMatch(`${error.message} ${error.remedy} ${Deno.inspect(error.cause)}`, /secret|s3cret/);
    return true;
  });
}

/** The names in a folder of the cache, sorted. */
export function names(...parts: string[]): string[] {
  return [...Deno.readDirSync(parts.join("/"))].map(({ name }) => name).sort();
}
