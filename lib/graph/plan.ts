/**
 * The memory plan: lifetimes of activations over the program's calls, packed into one arena so that tensors whose
 * lifetimes do not overlap share bytes. Greedy by size, largest first (Pisarchyk & Lee, "Efficient Memory Management
 * for Deep Neural Net Inference", 2020). Peak bytes are known before anything is allocated.
 */
import { align, type ArenaLayout, type ArenaSlot } from "../gpu/arena.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** Where every activation of a graph lives. */
export interface MemoryPlan {
  readonly slots: ReadonlyMap<Tensor, ArenaSlot>;
  readonly layout: ArenaLayout;
}

interface Lifetime {
  readonly tensor: Tensor;
  readonly bytes: number;
  readonly first: number;
  last: number;
}

function lifetimes(g: Graph): Lifetime[] {
  const byTensor = new Map<Tensor, Lifetime>();
  g.calls.forEach((call, index) => {
    for (const bound of Object.values(call.bindings)) {
      const tensor = "tensor" in bound ? bound.tensor : bound;
      if (tensor.arena !== "activation") continue;
      const known = byTensor.get(tensor);
      if (known) known.last = index;
      else byTensor.set(tensor, { tensor, bytes: align(tensor.bytes), first: index, last: index });
    }
  });
  for (const lifetime of byTensor.values()) {
    if (g.kept.has(lifetime.tensor)) lifetime.last = g.calls.length;
  }
  return [...byTensor.values()];
}

/**
 * Plans the activations of a graph.
 *
 * @throws {RangeError} when one tensor is larger than the adapter's largest buffer
 */
export function planMemory(g: Graph): MemoryPlan {
  const limit = g.target.maxBufferBytes;
  const slots = new Map<Tensor, ArenaSlot>();
  const placed: { slot: ArenaSlot; end: number; first: number; last: number }[] = [];
  const chunkBytes: number[] = [];
  const order = lifetimes(g).sort((a, b) => b.bytes - a.bytes || a.first - b.first);
  for (const { tensor, bytes, first, last } of order) {
    if (bytes > limit) {
      throw new RangeError(`${tensor.name}: ${bytes} bytes are over the adapter's buffer limit of ${limit}`);
    }
    const concurrent = placed.filter((other) => other.first <= last && first <= other.last);
    for (let chunk = 0;; chunk++) {
      const taken = concurrent.filter((other) => other.slot.chunk === chunk).sort((a, b) =>
        a.slot.offset - b.slot.offset
      );
      let offset = 0;
      for (const other of taken) {
        if (offset + bytes <= other.slot.offset) break;
        offset = Math.max(offset, other.end);
      }
      if (offset + bytes > limit) continue;
      const slot = { chunk, offset, size: tensor.bytes };
      slots.set(tensor, slot);
      placed.push({ slot, end: offset + bytes, first, last });
      chunkBytes[chunk] = Math.max(chunkBytes[chunk] ?? 0, offset + bytes);
      break;
    }
  }
  return {
    slots,
    layout: { label: "activations", chunkBytes, totalBytes: chunkBytes.reduce((sum, bytes) => sum + bytes, 0) },
  };
}

/** The smallest arena that holds any one of several layouts: programs that run in turn share it. */
export function unionLayout(layouts: readonly ArenaLayout[]): ArenaLayout {
  const chunkBytes: number[] = [];
  for (const layout of layouts) {
    layout.chunkBytes.forEach((bytes, chunk) => chunkBytes[chunk] = Math.max(chunkBytes[chunk] ?? 0, bytes));
  }
  return { label: "activations", chunkBytes, totalBytes: chunkBytes.reduce((sum, bytes) => sum + bytes, 0) };
}
