// C[M, N] = op(A) · op(B), preset "tiled": for GPUs, whose workgroup memory is fast.
//
//   a: A_TRANSPOSED ? [K, M] as vec4f along M : [M, K] as vec4f along K      the contiguous side a multiple of 4
//   b: B_TRANSPOSED ? [N, K] as vec4f along K : [K, N] as vec4f along N      the contiguous side a multiple of 4
//   c [M, N] as vec4f along N, N a multiple of 4; see gemm_epilogue.wgsl
//
// A workgroup of 16 x 16 invocations owns TILE x TILE of C, an invocation QUADS x QUADS blocks of 4 x 4, TILE = 64·QUADS,
// 64 apart so that neighbours read neighbouring vec4. DEPTH = 2048 / TILE values of k at a time pass through
// workgroup memory, k-major: then each of the 256 invocations fetches just one 4 x 4 block, the first half from A, the
// second from B, and keeps the next one in registers while the tile is multiplied. Everything outside the matrices reads
// as 0 and is not stored, so rows past the end may hold anything.
//
// Where A is transposed the contraction runs over tokens, and is cut into as many slices as the grid is deep (split-K):
// slice z writes its own [M, N] of partial sums for sum_partials.wgsl to add in fixed order, since atomics would make
// the sum depend on timing.
//
// The blocking is Volkov and Demmel's (SC'08) with the quads of CUTLASS; split-K as in CUTLASS and tfjs, without atomics.

struct Dims {
  //#if A_TRANSPOSED
  rows: u32, // K
  m: u32,
  n: u32,
  //#else
  rows: u32, // M
  n: u32,
  k: u32,
  //#end
}
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<$A_TYPE>;
@group(0) @binding(2) var<storage, read> b: array<$B_TYPE>;
//#if HALF
//#include "half.wgsl"
//#end
//#include "gemm_epilogue.wgsl"

// [k][line / 4]; a row is one vec4 longer than the tile, so that the stores of transposed blocks meet different banks.
var<workgroup> a_tile: array<vec4f, ${2048 / TILE * (TILE / 4 + 1)}>;
var<workgroup> b_tile: array<vec4f, ${2048 / TILE * (TILE / 4 + 1)}>;

/// Rows row..row+3 of op(A) at k..k+3; column i of the result is k + i.
fn fetch_a(row: u32, k: u32, end: u32) -> mat4x4f {
  var block = mat4x4f();
  //#if A_TRANSPOSED
  if (row < dims.m) {
    //#for i in 0..4
    if (k + ${i}u < end) {
      block[$i] = $A_READ(a[((k + ${i}u) * dims.m + row) / 4u]);
    }
    //#end
  }
  return block;
  //#else
  if (k < end) {
    //#for i in 0..4
    if (row + ${i}u < dims.rows) {
      block[$i] = $A_READ(a[((row + ${i}u) * dims.k + k) / 4u]);
    }
    //#end
  }
  return transpose(block);
  //#end
}

/// Columns column..column+3 of op(B) at k..k+3; column i of the result is k + i.
fn fetch_b(column: u32, k: u32, end: u32) -> mat4x4f {
  var block = mat4x4f();
  //#if B_TRANSPOSED
  if (k < end) {
    //#for i in 0..4
    if (column + ${i}u < dims.n) {
      block[$i] = $B_READ(b[((column + ${i}u) * dims.k + k) / 4u]);
    }
    //#end
  }
  return transpose(block);
  //#else
  if (column < dims.n) {
    //#for i in 0..4
    if (k + ${i}u < end) {
      block[$i] = $B_READ(b[((k + ${i}u) * dims.n + column) / 4u]);
    }
    //#end
  }
  return block;
  //#end
}

/// The (line / 4, k / 4) of block `index` in a tile whose lines are contiguous in memory: a row of blocks at a time.
fn along_lines(index: u32) -> vec2u {
  return vec2u(index % ${TILE / 4}u, index / ${TILE / 4}u);
}

/// The same where k is contiguous: 4 lines x DEPTH, whole cache sectors, yet 8 invocations store to 8 different banks.
fn along_k(index: u32) -> vec2u {
  return vec2u(index / ${2048 / TILE}u * 4u + index % 4u, index / 4u % ${512 / TILE}u);
}

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  //#if A_TRANSPOSED
  let m = dims.m;
  let turns = (dims.rows + ${2048 / TILE - 1}u) / ${2048 / TILE}u;
  let slice = (turns + groups.z - 1u) / groups.z * ${2048 / TILE}u;
  let begin = group.z * slice;
  let end = min(begin + slice, dims.rows);
  let a_block = along_lines(local % 128u);
  //#else
  let m = dims.rows;
  let begin = 0u;
  let end = dims.k;
  let a_block = along_k(local % 128u);
  //#end
  //#if B_TRANSPOSED
  let b_block = along_k(local % 128u);
  //#else
  let b_block = along_lines(local % 128u);
  //#end
  let tile_row = group.y * ${TILE}u;
  let tile_column = group.x * ${TILE}u;
  let x = local % 16u;
  let y = local / 16u;

  //#for j in 0..TILE / 64
  let column$j = tile_column / 4u + x + ${16 * j}u;
  let initial$j = initial(min(column$j, dims.n / 4u - 1u));
  //#for i in 0..TILE / 16
  var c${i}_${j} = initial$j;
  //#end
  //#end
  var block: mat4x4f;
  if (local < 128u) {
    block = fetch_a(tile_row + 4u * a_block.x, begin + 4u * a_block.y, end);
  } else {
    block = fetch_b(tile_column + 4u * b_block.x, begin + 4u * b_block.y, end);
  }
  for (var k = begin; k < end; k += ${2048 / TILE}u) {
    workgroupBarrier();
    if (local < 128u) {
      let at = 4u * a_block.y * ${TILE / 4 + 1}u + a_block.x;
      //#for i in 0..4
      a_tile[at + ${i * (TILE / 4 + 1)}u] = block[$i];
      //#end
    } else {
      let at = 4u * b_block.y * ${TILE / 4 + 1}u + b_block.x;
      //#for i in 0..4
      b_tile[at + ${i * (TILE / 4 + 1)}u] = block[$i];
      //#end
    }
    workgroupBarrier();
    if (local < 128u) {
      block = fetch_a(tile_row + 4u * a_block.x, k + ${2048 / TILE}u + 4u * a_block.y, end);
    } else {
      block = fetch_b(tile_column + 4u * b_block.x, k + ${2048 / TILE}u + 4u * b_block.y, end);
    }
    //#for d in 0..2048 / TILE
    {
      //#for q in 0..TILE / 64
      let a$q = a_tile[y + ${d * (TILE / 4 + 1) + 16 * q}u];
      let b$q = b_tile[x + ${d * (TILE / 4 + 1) + 16 * q}u];
      //#end
      //#for i in 0..TILE / 16
      //#for j in 0..TILE / 64
      c${i}_${j} = fma(vec4f(a${i / 4}[${i % 4}]), b$j, c${i}_${j});
      //#end
      //#end
    }
    //#end
  }

  let stride = dims.n / 4u;
  let slice_start = group.z * m * stride;
  //#for i in 0..TILE / 16
  {
    let row = tile_row + 4u * y + ${i / 4 * 64 + i % 4}u;
    if (row < m) {
      //#for j in 0..TILE / 64
      if (column$j < stride) {
        store(slice_start + row * stride + column$j, c${i}_${j});
      }
      //#end
    }
  }
  //#end
  //#if ACTIVATE || DERIVATIVE
  for (var i = 0u; i < ${TILE / 16}u; i++) {
    let row = tile_row + 4u * y + i / 4u * 64u + i % 4u;
    for (var column = column0; column < min(column0 + ${TILE / 4}u, stride); column += 16u) {
      if (row < m) {
        finish(row * stride + column);
      }
    }
  }
  //#end
}
