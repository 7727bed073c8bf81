// C[M, N] = op(A) · op(B), preset "broadcast": for CPU drivers such as lavapipe. No workgroup memory, no barrier.
//
//   a: A_TRANSPOSED ? [K, M] as vec4f along M : [M, K] as vec4f along K
//   b: B_TRANSPOSED ? [N, K] as vec4f along K : [K, N] as vec4f along N
//   c [M, N] as vec4f along N; see gemm_epilogue.wgsl
//   N a multiple of 4·SUBGROUP; K of 4 or, where A is transposed, M of ROWS
//
// On a CPU driver a load is a scalar loop over the lanes and a barrier spills every live value, while FMAs and moves
// between lanes are single instructions: what counts is loads per product. So a subgroup owns ROWS x 4·SUBGROUP of C in
// registers, each lane four columns. The lanes share out the loads of A, a row or four rows to a lane, and
// `subgroupBroadcast` hands the values round. Four k a turn, so that an accumulator is touched once for four FMAs.
// Subgroups of one workgroup share nothing but what the caches hold; there are several because starting a workgroup costs
// more, ACROSS of them side by side along N. The subgroup shuffles of ONNX Runtime's WebGPU matmul are the same idea.
//
// Token-major buffers are allocated up to a multiple of 32 rows. Rows of A past M are read and their products stored, all
// in the padding; where A is transposed the tokens past K are read and dropped by `select`, since 0 · NaN is NaN.

struct Dims {
  //#if A_TRANSPOSED
  first: u32, // tokens first … first + rows of A and B
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

@compute @workgroup_size(${SUBGROUP * SUBGROUPS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  //#if A_TRANSPOSED
  let m = dims.m;
  let depth = dims.rows;
  //#else
  let m = dims.rows;
  let depth = dims.k;
  //#end
  let lane = local % ${SUBGROUP}u;
  let part = local / ${SUBGROUP}u;
  let row = (group.x * ${SUBGROUPS / ACROSS}u + part / ${ACROSS}u) * ${ROWS}u;
  let column = (group.y * ${ACROSS}u + part % ${ACROSS}u) * ${SUBGROUP}u + lane; // in vec4
  if (row >= m || column >= dims.n / 4u) {
    return;
  }

  let stride = dims.n / 4u;
  //#if A_TRANSPOSED
  let a_stride = m / 4u;
  var a_start = dims.first * a_stride + row / 4u + lane % ${ROWS / 4}u;
  //#else
  let a_stride = depth / 4u;
  //#for g in 0..ROWS / SUBGROUP
  let a_start$g = (row + ${g * SUBGROUP}u + lane) * a_stride;
  //#end
  //#end
  //#if B_TRANSPOSED
  //#for i in 0..4
  let b_start$i = (4u * column + ${i}u) * a_stride;
  //#end
  //#else
  //#if A_TRANSPOSED
  var b_start = dims.first * stride + column;
  //#else
  var b_start = column;
  //#end
  //#end

  let start = initial(column);
  //#for r in 0..ROWS
  var c$r = start;
  //#end
  for (var k = 0u; k < depth; k += 4u) {
    //#if A_TRANSPOSED
    //#for i in 0..4
    let live$i = k + ${i}u < depth;
    let a$i = select(vec4f(), $A_READ(a[a_start + ${i}u * a_stride]), live$i);
    let b$i = select(vec4f(), $B_READ(b[b_start + ${i}u * stride]), live$i);
    //#end
    a_start += 4u * a_stride;
    b_start += 4u * stride;
    //#else
    //#for g in 0..ROWS / SUBGROUP
    let a$g = $A_READ(a[a_start$g + k / 4u]);
    //#end
    //#if B_TRANSPOSED
    //#for i in 0..4
    let along_k$i = $B_READ(b[b_start$i + k / 4u]);
    //#end
    //#for i in 0..4
    let b$i = vec4f(along_k0[$i], along_k1[$i], along_k2[$i], along_k3[$i]);
    //#end
    //#else
    //#for i in 0..4
    let b$i = $B_READ(b[b_start + ${i}u * stride]);
    //#end
    b_start += 4u * stride;
    //#end
    //#end
    //#for r in 0..ROWS
    {
      //#if A_TRANSPOSED
      //#for i in 0..4
      let x$i = vec4f(subgroupBroadcast(a$i[${r % 4}], ${r / 4}u));
      //#end
      //#else
      let x = subgroupBroadcast(a${r / SUBGROUP}, ${r % SUBGROUP}u);
      //#for i in 0..4
      let x$i = vec4f(x[$i]);
      //#end
      //#end
      c$r = fma(x3, b3, fma(x2, b2, fma(x1, b1, fma(x0, b0, c$r))));
    }
    //#end
  }
  //#for r in 0..ROWS
  store((row + ${r}u) * stride + column, c$r);
  //#end
  //#if ACTIVATE || DERIVATIVE
  for (var r = row; r < row + ${ROWS}u; r++) {
    finish(r * stride + column);
  }
  //#end
}
