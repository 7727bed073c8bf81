/**
 * What a kernel call costs at least: the operations of its matrix products, and the bytes that it cannot do without. A
 * kernel may do more (FlashAttention computes its scores again, caches miss), never less.
 */
import { gemmProduct } from "../gpu/gemm_product.ts";
import { specialise } from "../gpu/kernel.ts";
import type { KernelCall } from "./graph.ts";
import { elementCount, type Tensor, type TensorWindow } from "./tensor.ts";

/** What a call costs. */
export interface CallCost {
  /** Floating-point operations of matrix products, multiplication and addition counted as two; 0 where there are none. */
  readonly flops: number;
  /** Bytes of what is bound, once where it is read and once where it is written. */
  readonly bytes: number;
}

/**
 * Products of [T, D] by [D, keys] or the like in the attention kernels: Q·Kᵀ and P·V forward; Q·Kᵀ again, dO·Vᵀ, and dQ, or
 * dK and dV, backward.
 */
const ATTENTION_PRODUCTS: Readonly<Record<string, number>> = {
  attention_forward: 2,
  attention_backward_query: 3,
  attention_backward_key: 4,
};

/**
 * @param keys Keys that are attended to, summed over the texts of the batch: the kernels stop at the last one of each text;
 * all unless given
 */
function flopsOf(call: KernelCall, keys: number | undefined): number {
  const product = gemmProduct(call);
  if (product) return 2 * product.m * product.n * product.k;
  const products = ATTENTION_PRODUCTS[call.kernel.name];
  if (products === undefined) return 0;
  const batch = call.dims["batch"]!, length = call.dims["length"]!, hidden = 4 * Number(call.constants["C4"]);
  return products * 2 * length * (keys ?? batch * length) * hidden;
}

/** Whether a kernel's text reads a binding, and whether it writes it: `name[…]` stands left of an assignment or not. */
export function accessOf(code: string, name: string): { reads: boolean; writes: boolean } {
  let reads = false, writes = false;
  for (const { index, 0: opening } of code.matchAll(new RegExp(`\\b${name}\\s*\\[`, "g"))) {
    let at = index + opening.length;
    for (let depth = 1; depth > 0 && at < code.length; at++) depth += { "[": 1, "]": -1 }[code[at]!] ?? 0;
    const assignment = /^(?:\.\w+)?\s*([-+*/]?)=(?!=)/.exec(code.slice(at));
    if (assignment) writes = true;
    if (!assignment || assignment[1] !== "") reads = true;
  }
  return { reads, writes };
}

const accesses = new Map<string, ReadonlyMap<string, number>>();

/** How often each binding of a call goes over the bus: 2 where it is read and written. */
function transfers({ kernel, constants }: KernelCall): ReadonlyMap<string, number> {
  const key = `${kernel.name}|${JSON.stringify(constants)}`;
  let known = accesses.get(key);
  if (!known) {
    const { code, bindings } = specialise(kernel, constants, new Set());
    const text = code.replace(/\/\/.*$/gm, "");
    known = new Map(bindings.map(({ name }) => {
      const { reads, writes } = accessOf(text, name);
      return [name, (reads ? 1 : 0) + (writes ? 1 : 0)];
    }));
    accesses.set(key, known);
  }
  return known;
}

const elementBytes = ({ element }: Tensor): number => element === "f16" ? 2 : 4;

/** Bytes of the elements of what is bound: rows of padding are not counted. */
function boundBytes(bound: Tensor | TensorWindow): number {
  return "tensor" in bound ? bound.size : elementCount(bound.shape) * elementBytes(bound);
}

/** Tables of which the embedding kernels touch a row for each token at most. */
const TABLES: Readonly<Record<string, string>> = {
  word: "out",
  position: "out",
  token_type: "out",
  dtable: "dx",
};

/**
 * The least that a call costs.
 *
 * @param keys Keys that are attended to, summed over the texts of the batch; all unless given
 */
export function callCost(call: KernelCall, keys?: number): CallCost {
  let bytes = 0;
  const product = gemmProduct(call);
  // A product may be one of several over slices of its operands.
  const operandBytes = (name: string) => {
    const bound = call.bindings[name];
    if (!product || !bound || "tensor" in bound || name !== "a" && name !== "b") return Infinity;
    return product.k * (name === "a" ? product.m : product.n) * elementBytes(bound);
  };
  for (const [name, times] of transfers(call)) {
    const bound = call.bindings[name];
    if (!bound) continue;
    const rows = call.kernel.name.startsWith("embedding_") ? call.bindings[TABLES[name] ?? ""] : undefined;
    bytes += times * Math.min(boundBytes(bound), rows ? boundBytes(rows) : Infinity, operandBytes(name));
  }
  return { flops: flopsOf(call, keys), bytes };
}

/** Whether a call's kernel is a GEMM. */
export const isGemm = (call: KernelCall): boolean => gemmProduct(call) !== undefined;

/** What calls are grouped under: the kernel, of products the layout and the epilogue as well. */
export function callName(call: KernelCall): string {
  const product = gemmProduct(call);
  if (!product) return call.kernel.name;
  const { layout, epilogue } = product;
  return `${call.kernel.name} ${layout}${epilogue === "none" ? "" : ` ${epilogue}`}`;
}

/** The shape of a call's matrix product, `M×N×K`; empty where it computes none. */
export function callShape(call: KernelCall): string {
  const product = gemmProduct(call);
  return product ? `${product.m}×${product.n}×${product.k}` : "";
}
