/**
 * How each preset of the GEMM may cut its work: tiles, registers, depth. All variants of a preset add an element's products
 * in the same order, so they give the same bits, and which one runs is a matter of speed alone.
 */

/** A variant of the tiled preset; see `gemm_tiled.wgsl`. All but `depth` are [rows, columns] of C. */
export interface TiledVariant {
  /** Of a workgroup. */
  readonly tile: readonly [number, number];
  /** Of an invocation: multiples of 4. */
  readonly block: readonly [number, number];
  /** Values of k in workgroup memory: a multiple of 4 that divides 32, where slices of split-K are cut. */
  readonly depth: number;
}

/** A variant of the broadcast preset; see `gemm_broadcast.wgsl`. */
export interface BroadcastVariant {
  /** Rows of C of a subgroup: a multiple of its lanes. */
  readonly rows: number;
  /** Subgroups of a workgroup. */
  readonly subgroups: number;
}

/** The variants of the tiled preset. The first two are what a shape gets untried. */
export const TILED_VARIANTS = {
  "64x64 by 4x4, depth 32": { tile: [64, 64], block: [4, 4], depth: 32 },
  "128x128 by 8x8, depth 16": { tile: [128, 128], block: [8, 8], depth: 16 },
  "128x128 by 8x8, depth 8": { tile: [128, 128], block: [8, 8], depth: 8 },
  "64x128 by 8x8, depth 16": { tile: [64, 128], block: [8, 8], depth: 16 },
  "128x64 by 8x4, depth 16": { tile: [128, 64], block: [8, 4], depth: 16 },
  "64x64 by 8x4, depth 16": { tile: [64, 64], block: [8, 4], depth: 16 },
  "64x64 by 8x8, depth 8": { tile: [64, 64], block: [8, 8], depth: 8 },
} as const satisfies Record<string, TiledVariant>;

/**
 * The variants of the broadcast preset; the first is what every shape gets untried. Measured on lavapipe (Mesa 22.3.6, 2
 * vCPU), 512x768x768, interleaved, best of 12-16 by process time (the machine was shared), compiled cold:
 *
 * - nt: 32 rows 44 GFLOP/s, 0.22 s; 16 rows 35, 0.13 s. Lanes that own columns 8 apart instead of 4 neighbours are no
 *   faster and take 0.39 s, since they store f32 one by one.
 * - nn: 32 rows 44, 0.24 s; 16 rows 35, 0.16 s; 16 rows x 64 columns 42, 0.30 s; 8 rows x 64 columns 30.
 * - tn: 32 rows 37, 0.22 s; 16 rows 29, 0.16 s; 16 rows x 64 columns 37, 0.28 s. Two tokens a turn 24-30, eight 33;
 *   the selects of the last turn cost nothing.
 *
 * At 13 tokens tiles of 16 rows are 20 % faster, of 1 ms. Loads as `vec4<u64>` (feature wgpu-shader-int64) gave 15-25 % more: not
 * worth a feature outside WebGPU. Subgroups per workgroup (1-8) and the order of the grid are within noise.
 */
export const BROADCAST_VARIANTS = {
  "32 rows, 8 subgroups": { rows: 32, subgroups: 8 },
  "32 rows, 2 subgroups": { rows: 32, subgroups: 2 },
  "16 rows, 8 subgroups": { rows: 16, subgroups: 8 },
  "16 rows, 2 subgroups": { rows: 16, subgroups: 2 },
} as const satisfies Record<string, BroadcastVariant>;

/** A name in `TILED_VARIANTS`. */
export type TiledVariantName = keyof typeof TILED_VARIANTS;
/** A name in `BROADCAST_VARIANTS`. */
export type BroadcastVariantName = keyof typeof BROADCAST_VARIANTS;
/** A variant of either preset. */
export type GemmVariant = TiledVariantName | BroadcastVariantName;

/** The names in `TILED_VARIANTS`. */
export const TILED_VARIANT_NAMES = Object.keys(TILED_VARIANTS) as TiledVariantName[];
/** The names in `BROADCAST_VARIANTS`. */
export const BROADCAST_VARIANT_NAMES = Object.keys(BROADCAST_VARIANTS) as BroadcastVariantName[];

/** The constants of `gemm_tiled.wgsl` that a variant stands for. */
export function tiledConstants(name: TiledVariantName): Record<string, number> {
  const { tile: [rows, columns], block: [blockRows, blockColumns], depth }: TiledVariant = TILED_VARIANTS[name];
  const [threadsY, threadsX] = [rows / blockRows, columns / blockColumns];
  const [aBlocks, bBlocks] = [rows * depth / 16, columns * depth / 16];
  return {
    TILE_ROWS: rows,
    TILE_COLUMNS: columns,
    QUAD_ROWS: blockRows / 4,
    QUAD_COLUMNS: blockColumns / 4,
    DEPTH: depth,
    THREADS_X: threadsX,
    THREADS_Y: threadsY,
    A_BLOCKS: aBlocks,
    B_BLOCKS: bBlocks,
    FETCHES: Math.ceil((aBlocks + bBlocks) / (threadsX * threadsY)),
  };
}

/** What a variant of the tiled preset takes of a workgroup: invocations, and bytes of its memory. */
export function tiledDemand(name: TiledVariantName): { readonly invocations: number; readonly bytes: number } {
  const { tile: [rows, columns], block, depth }: TiledVariant = TILED_VARIANTS[name];
  return {
    invocations: rows * columns / (block[0] * block[1]),
    bytes: 16 * depth * (rows / 4 + 1 + columns / 4 + 1),
  };
}
