// C[M, N] = op(A) · op(B), preset "tiled": for GPUs, whose workgroup memory is fast.
//
//   a: A_TRANSPOSED ? [K, M] as vec4f along M : [M, K] as vec4f along K      the contiguous side a multiple of 4
//   b: B_TRANSPOSED ? [N, K] as vec4f along K : [K, N] as vec4f along N      the contiguous side a multiple of 4
//   c [M, N] as vec4f along N, N a multiple of 4; see gemm_epilogue.wgsl
//
// A workgroup of THREADS_Y x THREADS_X invocations owns TILE_ROWS x TILE_COLUMNS of C, an invocation QUAD_ROWS x QUAD_COLUMNS
// blocks of 4 x 4, THREADS_Y and THREADS_X blocks apart so that neighbours read neighbouring vec4. DEPTH values of k at a
// time pass through workgroup memory, k-major: an invocation fetches FETCHES 4 x 4 blocks, those of A before those of B,
// and keeps the next ones in registers while the tile is multiplied. Everything outside the matrices reads as 0 and is not
// stored, so rows past the end may hold anything.
//
// Whatever the tile, an element of C is one chain of fma over k in order from 0 or the bias: every variant gives the same
// bits, and which one is the fastest may be found by trying (gemm_variants.ts, tune.ts).
//
// Where A is transposed the contraction runs over tokens, and is cut into as many slices as the grid is deep (split-K):
// slice z writes its own [M, N] of partial sums for sum_partials.wgsl to add in fixed order, since atomics would make
// the sum depend on timing. Slices are cut at multiples of 32, which every DEPTH divides.
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
var<workgroup> a_tile: array<vec4f, ${DEPTH * (TILE_ROWS / 4 + 1)}>;
var<workgroup> b_tile: array<vec4f, ${DEPTH * (TILE_COLUMNS / 4 + 1)}>;

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

/// The (line / 4, k / 4) of block `index` of a tile whose lines are contiguous in memory: a row of blocks at a time.
fn along_lines(index: u32, lines: u32) -> vec2u {
  return vec2u(index % (lines / 4u), index / (lines / 4u));
}

/// The same where k is contiguous: 4 lines x DEPTH, whole cache sectors, yet 8 invocations store to 8 different banks.
fn along_k(index: u32) -> vec2u {
  return vec2u(index / ${DEPTH}u * 4u + index % 4u, index / 4u % ${DEPTH / 4}u);
}

/// (line / 4, k / 4) of a block of the tile of A.
fn place_a(index: u32) -> vec2u {
  //#if A_TRANSPOSED
  return along_lines(index, ${TILE_ROWS}u);
  //#else
  return along_k(index);
  //#end
}

/// (line / 4, k / 4) of a block of the tile of B.
fn place_b(index: u32) -> vec2u {
  //#if B_TRANSPOSED
  return along_k(index);
  //#else
  return along_lines(index, ${TILE_COLUMNS}u);
  //#end
}

/// Block `index` of the two tiles that begin at k: first those of A, then those of B.
fn fetch(index: u32, row: u32, column: u32, k: u32, end: u32) -> mat4x4f {
  if (index < ${A_BLOCKS}u) {
    let place = place_a(index);
    return fetch_a(row + 4u * place.x, k + 4u * place.y, end);
  }
  //#if FETCHES * THREADS_X * THREADS_Y > A_BLOCKS + B_BLOCKS
  if (index >= ${A_BLOCKS + B_BLOCKS}u) {
    return mat4x4f();
  }
  //#end
  let place = place_b(index - ${A_BLOCKS}u);
  return fetch_b(column + 4u * place.x, k + 4u * place.y, end);
}

/// Puts a block where the products find it.
fn put(index: u32, block: mat4x4f) {
  if (index < ${A_BLOCKS}u) {
    let place = place_a(index);
    let at = 4u * place.y * ${TILE_ROWS / 4 + 1}u + place.x;
    //#for i in 0..4
    a_tile[at + ${i * (TILE_ROWS / 4 + 1)}u] = block[$i];
    //#end
  } else if (index < ${A_BLOCKS + B_BLOCKS}u) {
    let place = place_b(index - ${A_BLOCKS}u);
    let at = 4u * place.y * ${TILE_COLUMNS / 4 + 1}u + place.x;
    //#for i in 0..4
    b_tile[at + ${i * (TILE_COLUMNS / 4 + 1)}u] = block[$i];
    //#end
  }
}

@compute @workgroup_size(${THREADS_X * THREADS_Y})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  //#if A_TRANSPOSED
  let m = dims.m;
  let turns = (dims.rows + 31u) / 32u;
  let slice = (turns + groups.z - 1u) / groups.z * 32u;
  let begin = group.z * slice;
  let end = min(begin + slice, dims.rows);
  //#else
  let m = dims.rows;
  let begin = 0u;
  let end = dims.k;
  //#end
  let tile_row = group.y * ${TILE_ROWS}u;
  let tile_column = group.x * ${TILE_COLUMNS}u;
  let x = local % ${THREADS_X}u;
  let y = local / ${THREADS_X}u;

  //#for j in 0..QUAD_COLUMNS
  let column$j = tile_column / 4u + x + ${THREADS_X * j}u;
  let initial$j = initial(min(column$j, dims.n / 4u - 1u));
  //#for i in 0..4 * QUAD_ROWS
  var c${i}_${j} = initial$j;
  //#end
  //#end
  //#for f in 0..FETCHES
  let index$f = local + ${f * THREADS_X * THREADS_Y}u;
  var block$f = fetch(index$f, tile_row, tile_column, begin, end);
  //#end
  for (var k = begin; k < end; k += ${DEPTH}u) {
    workgroupBarrier();
    //#for f in 0..FETCHES
    put(index$f, block$f);
    //#end
    workgroupBarrier();
    //#for f in 0..FETCHES
    block$f = fetch(index$f, tile_row, tile_column, k + ${DEPTH}u, end);
    //#end
    //#for d in 0..DEPTH
    {
      //#for q in 0..QUAD_ROWS
      let a$q = a_tile[y + ${d * (TILE_ROWS / 4 + 1) + THREADS_Y * q}u];
      //#end
      //#for q in 0..QUAD_COLUMNS
      let b$q = b_tile[x + ${d * (TILE_COLUMNS / 4 + 1) + THREADS_X * q}u];
      //#end
      //#for i in 0..4 * QUAD_ROWS
      //#for j in 0..QUAD_COLUMNS
      c${i}_${j} = fma(vec4f(a${i / 4}[${i % 4}]), b$j, c${i}_${j});
      //#end
      //#end
    }
    //#end
  }

  let stride = dims.n / 4u;
  let slice_start = group.z * m * stride;
  //#for i in 0..4 * QUAD_ROWS
  {
    let row = tile_row + 4u * y + ${i / 4 * 4 * THREADS_Y + i % 4}u;
    if (row < m) {
      //#for j in 0..QUAD_COLUMNS
      if (column$j < stride) {
        store(slice_start + row * stride + column$j, c${i}_${j});
      }
      //#end
    }
  }
  //#end
  //#if ACTIVATE || DERIVATIVE
  for (var i = 0u; i < ${4 * QUAD_ROWS}u; i++) {
    let row = tile_row + 4u * y + i / 4u * ${4 * THREADS_Y}u + i % 4u;
    for (var column = column0; column < min(column0 + ${TILE_COLUMNS / 4}u, stride); column += ${THREADS_X}u) {
      if (row < m) {
        finish(row * stride + column);
      }
    }
  }
  //#end
}
