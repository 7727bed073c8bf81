/** The room left on a file system, and bytes as people read them. */
import * as fs from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** "1.5 GB": bytes in powers of ten, as disks are sold and as `max_total_size` is given, to three digits. */
export function formatBytes(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let value = bytes, unit = 0;
  // 999.5 would print as "1000", so the next unit takes over there.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** How full a file system is. */
export interface DiskSpace {
  /** Bytes that this user may still write: `bavail`; `bfree` would count the blocks reserved for root. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** The room on the file system of `path`, which need not exist yet: the nearest existing folder above counts. */
export async function diskSpace(path: string): Promise<DiskSpace> {
  let folder = resolve(path);
  for (;;) {
    try {
      const { bavail, blocks, bsize } = await fs.statfs(folder);
      return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
    } catch (error) {
      const parent = dirname(folder);
      const code = (error as { code?: string }).code;
      if (!(code === "ENOENT" || code === "ENOTDIR") || parent === folder) throw error;
      folder = parent;
    }
  }
}

/** The free bytes of `diskSpace`. */
export const freeBytes = async (path: string): Promise<number> => (await diskSpace(path)).freeBytes;
