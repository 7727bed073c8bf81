/**
 * What trying the matrix products of an adapter has shown, kept for later studies: one JSON file per adapter, driver and
 * version of Deno in `$XDG_CACHE_HOME/winnow/gemm` or `~/.cache/winnow/gemm`, with every time that was taken. A file that
 * cannot be read or is damaged counts as empty, and is written anew.
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import type { Gpu } from "../gpu/device.ts";
import { makeFolder, writeFileAtomic } from "../storage/atomic_file.ts";
import { diskFileSystem, type FileSystem, readText } from "../support/file_system.ts";

/** What times depend on beside the product and its kernels. */
export interface TunedAdapter {
  readonly name: string;
  readonly id: string;
  readonly driver: string;
  readonly preset: string;
  readonly subgroupSize: number;
  readonly deno: string;
}

const entrySchema = z.object({
  /** SHA-256 of what the kernels were made from. */
  checksum: z.string(),
  /** The fastest. */
  variant: z.string(),
  /** All times in microseconds by variant. */
  microseconds: z.record(z.string(), z.array(z.number())),
  /** Variants left out, and why. */
  dropped: z.record(z.string(), z.string()),
});
const fileSchema = z.object({
  version: z.literal(1),
  adapter: z.record(z.string(), z.union([z.string(), z.number()])),
  products: z.record(z.string(), entrySchema),
});

/** What is kept of a product. */
export type TunedProduct = z.infer<typeof entrySchema>;

/** The kept products of an adapter. */
export interface TuneCache {
  readonly path: string;
  /** What is kept under a key of `tuningKey`; undefined where other kernels were tried than those of the checksum. */
  get(key: string, checksum: string): TunedProduct | undefined;
  set(key: string, product: TunedProduct): void;
  /**
   * Writes what was set, beside what other processes have kept meanwhile.
   *
   * @throws what the file system throws
   */
  save(): Promise<void>;
}

/** The driver's version, where the system tells it. */
function driverVersion(): string {
  try {
    return Deno.readTextFileSync("/proc/driver/nvidia/version").split("\n")[0]!;
  } catch {
    return "";
  }
}

/** The folder of the caches; undefined where the environment names no place for one. */
export function tuneCacheFolder(env: (name: string) => string | undefined = (name) => Deno.env.get(name)) {
  const home = env("HOME") || env("USERPROFILE");
  const caches = env("XDG_CACHE_HOME") || (home ? join(home, ".cache") : undefined);
  return caches === undefined ? undefined : join(caches, "winnow", "gemm");
}

/** What an adapter's cache is found by. */
export function tunedAdapter({ name, adapterId, preset, subgroupSize }: Gpu): TunedAdapter {
  return { name, id: adapterId, driver: driverVersion(), preset, subgroupSize, deno: Deno.version.deno };
}

/** Reads the cache of an adapter. */
export async function openTuneCache(
  folder: string,
  adapter: TunedAdapter,
  fs: FileSystem = diskFileSystem,
): Promise<TuneCache> {
  const identity = JSON.stringify(adapter);
  const path = join(folder, `${createHash("sha256").update(identity).digest("hex").slice(0, 16)}.json`);
  const read = async (): Promise<Record<string, TunedProduct>> => {
    try {
      const found = fileSchema.parse(JSON.parse(await readText(fs, path)));
      return JSON.stringify(found.adapter) === identity ? found.products : {};
    } catch {
      return {};
    }
  };
  const known = new Map(Object.entries(await read()));
  const added = new Map<string, TunedProduct>();
  return {
    path,
    get(key, checksum) {
      const found = known.get(key);
      return found?.checksum === checksum ? found : undefined;
    },
    set(key, product) {
      known.set(key, product);
      added.set(key, product);
    },
    async save() {
      await makeFolder(folder, fs);
      const products = Object.fromEntries(Object.entries({ ...await read(), ...Object.fromEntries(added) }).sort());
      await writeFileAtomic(path, JSON.stringify({ version: 1, adapter, products }, undefined, 1) + "\n", fs);
      added.clear();
    },
  };
}
