/** Weights on a disk that runs full: a real one, small and in memory, which only root may mount. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../lib/weights/safetensors.ts";
import { mountRefusal, withTmpfs } from "./storage_tmpfs.ts";

const refusal = mountRefusal();

Deno.test({
  name: `a full disk is reported with its code, and nothing of the file stays${refusal}`,
  ignore: refusal !== "",
  fn: () =>
    withTmpfs("size=64k", async (folder) => {
      const tensors = [{ name: "a", shape: [32768], data: new Float32Array(32768) }];
      await assert.rejects(
        writeSafetensors(join(folder, "model.safetensors"), tensors),
        (error: NodeJS.ErrnoException) => error.code === "ENOSPC",
      );
      assert.deepEqual([...Deno.readDirSync(folder)], []);
    }),
});
