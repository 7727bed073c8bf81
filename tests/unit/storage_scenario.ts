/** What the storage tests save: small checkpoints whose contents follow from their epoch. */
import { join } from "node:path";
import { type Checkpoint, OPTIMIZER_FILE, publishCheckpoint } from "../../lib/storage/checkpoint.ts";

/** Runs `body` with a new folder, in memory where there is such a file system, that is removed afterwards. */
export async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const prefix = "winnow-storage-";
  const folder = await Deno.makeTempDir({ prefix, dir: "/dev/shm" }).catch(() => Deno.makeTempDir({ prefix }));
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes a file by the functions that lib/storage uses, without a sync: that is publishCheckpoint's duty. */
async function write(path: string, data: Uint8Array): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for (let offset = 0; offset < data.length;) offset += await file.write(data.subarray(offset));
}

/** The epoch's name of a checkpoint. */
export const epochName = (epoch: number) => `epoch_${epoch}`;

/** Publishes the checkpoint of an epoch with a metric: weights and optimizer of `bytes` each, and a small JSON file. */
export function saveEpoch(parent: string, epoch: number, macroF1: number, bytes = 100): Promise<Checkpoint> {
  return publishCheckpoint(
    parent,
    epochName(epoch),
    async (folder) => {
      await write(join(folder, "model.safetensors"), new Uint8Array(bytes).fill(epoch));
      await write(join(folder, OPTIMIZER_FILE), new Uint8Array(bytes).fill(epoch + 1));
      await write(join(folder, "trainer_state.json"), new TextEncoder().encode(JSON.stringify({ epoch })));
    },
    { step: epoch * 10, epoch, kind: "epoch", metrics: { macro_f1: macroF1 } },
  );
}

/** All names in a folder, hidden ones too, sorted. */
export const namesIn = (folder: string): string[] => [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
