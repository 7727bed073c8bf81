/** Numbers of bytes as people write them: `10 GB`, `1.5GiB`, or a plain number. */

const UNITS: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** What `parseByteSize` reads: a number and one of B, kB, MB, GB, TB (powers of ten) or KiB, MiB, GiB, TiB, in any case. */
export const BYTE_SIZE_PATTERN = /^(\d{1,15}(?:\.\d{1,9})?) ?([kKmMgGtT]?[iI]?[bB])$/;

/**
 * The bytes that a text or number stands for, rounded to whole ones.
 *
 * @throws RangeError for what is no size
 */
export function parseByteSize(size: string | number): number {
  const [, digits, unit] = BYTE_SIZE_PATTERN.exec(typeof size === "number" ? `${size} B` : size) ?? [];
  const factor = UNITS[(unit ?? "").toLowerCase()];
  const bytes = typeof size === "number" ? size : Number(digits) * (factor ?? NaN);
  if (!(bytes >= 0 && Number.isFinite(bytes))) {
    throw new RangeError(`Expected a size such as "10 GB" but found ${JSON.stringify(size)}`);
  }
  return Math.round(bytes);
}
