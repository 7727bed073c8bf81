/** Studies for tests: in memory, or in a file that is removed. */
import { join } from "node:path";
import { createStudy, type CreateStudyOptions, type Study } from "../../lib/hpo/study.ts";

/** A study in memory whose warnings are collected. */
export function quietStudy(options: CreateStudyOptions = {}): { study: Study; warnings: string[] } {
  const warnings: string[] = [];
  return { study: createStudy({ onWarning: (message) => warnings.push(message), ...options }), warnings };
}

/** Runs `body` with the path of a database in a folder that is removed afterwards. */
export async function withFile(body: (path: string, folder: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "winnow-study-" });
  try {
    await body(join(folder, "study.db"), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
