/** A run's state written into a folder while training waits. */
import type { Engine } from "../../lib/train/engine.ts";
import { copyState, type ModelFiles, type TrainerState, writeCopy } from "../../lib/train/state.ts";

/** Copies the state from the GPU and writes it, as a save does beside the training. */
export async function writeState(
  folder: string,
  engine: Engine,
  state: TrainerState,
  files: ModelFiles = { config: {}, tokenizer: new Map() },
): Promise<void> {
  await writeCopy(folder, await copyState(engine, state, files));
}
