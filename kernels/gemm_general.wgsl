// C[M, N] = op(A) · op(B) for any sizes: the kernel for heads (N = 9 labels) and odd widths, in every preset.
//
//   a: A_TRANSPOSED ? [K, M] : [M, K] as f32
//   b: B_TRANSPOSED ? [N, K] : [K, N] as f32, either in pairs of 16 bits with A_HALF, B_HALF
//   c [M, N] as f32, see gemm_epilogue.wgsl
//
// One invocation owns ROWS rows of one column, so that a load of B serves ROWS products. Rows past the end read the last
// row instead, and are not stored: no padding is needed, and none is touched.

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

fn element_a(index: u32) -> f32 {
  //#if A_HALF
  let pair = unpack2x16float(a[index / 2u]);
  return select(pair.x, pair.y, (index & 1u) == 1u);
  //#else
  return a[index];
  //#end
}

fn element_b(index: u32) -> f32 {
  //#if B_HALF
  let pair = unpack2x16float(b[index / 2u]);
  return select(pair.x, pair.y, (index & 1u) == 1u);
  //#else
  return b[index];
  //#end
}

//#include "gemm_epilogue.wgsl"

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  //#if A_TRANSPOSED
  let m = dims.m;
  let depth = dims.rows;
  //#else
  let m = dims.rows;
  let depth = dims.k;
  //#end
  let invocation = (group.y * groups.x + group.x) * 64u + local;
  let column = invocation % dims.n;
  let row = invocation / dims.n * ${ROWS}u;
  if (row >= m) {
    return;
  }
  //#for r in 0..ROWS
  let row$r = min(row + ${r}u, m - 1u);
  var c$r = initial(column);
  //#end
  for (var k = 0u; k < depth; k++) {
    //#if B_TRANSPOSED
    let y = element_b(column * depth + k);
    //#else
    let y = element_b(k * dims.n + column);
    //#end
    //#for r in 0..ROWS
    //#if A_TRANSPOSED
    c$r = fma(element_a(k * m + row$r), y, c$r);
    //#else
    c$r = fma(element_a(row$r * depth + k), y, c$r);
    //#end
    //#end
  }
  //#for r in 0..ROWS
  if (row + ${r}u < m) {
    store(row$r * dims.n + column, c$r);
  }
  //#end
  //#if ACTIVATE || DERIVATIVE
  for (var r = row; r < min(row + ${ROWS}u, m); r++) {
    finish(r * dims.n + column);
  }
  //#end
}
