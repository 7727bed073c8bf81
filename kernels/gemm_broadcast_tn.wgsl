// C[M, N] = A[K, M]ᵀ · B[K, N], preset "broadcast": dW = dyᵀ·x of a linear layer, the contraction running over tokens.
//
//   a [K, M] as vec4f along M    M a multiple of ROWS
//   b [K, N] as vec4f along N    N a multiple of 4·SUBGROUP·COLUMNS
//   c [M, N] as vec4f            see gemm_epilogue.wgsl
//
// As gemm_broadcast_nn.wgsl, but A comes column-major: lane l loads four of the subgroup's ROWS rows. Four tokens a
// turn, so that an accumulator is touched once for four FMAs; the last turn reads the padding rows (allocated up to a
// multiple of 32 rows) and drops them by `select`, since what they hold may be NaN.

struct Dims {
  rows: u32, // K
  m: u32,
  n: u32,
}
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
//#include "gemm_epilogue.wgsl"

@compute @workgroup_size(${SUBGROUP * SUBGROUPS})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let lane = local % ${SUBGROUP}u;
  let row = (group.x * ${SUBGROUPS}u + local / ${SUBGROUP}u) * ${ROWS}u;
  let column = group.y * ${SUBGROUP * COLUMNS}u + lane;
  if (row >= dims.m) {
    return;
  }
  let a_stride = dims.m / 4u;
  let b_stride = dims.n / 4u;
  //#for j in 0..COLUMNS
  let initial$j = initial(column + ${j * SUBGROUP}u);
  //#for r in 0..ROWS
  var c${r}_${j} = initial$j;
  //#end
  //#end
  var a_start = row / 4u + lane % ${ROWS / 4}u;
  var b_start = column;
  for (var k = 0u; k < dims.rows; k += 4u) {
    //#for i in 0..4
    let live$i = k + ${i}u < dims.rows;
    let a$i = select(vec4f(), a[a_start + ${i}u * a_stride], live$i);
    //#for j in 0..COLUMNS
    let b${i}_${j} = select(vec4f(), b[b_start + ${i}u * b_stride + ${j * SUBGROUP}u], live$i);
    //#end
    //#end
    a_start += 4u * a_stride;
    b_start += 4u * b_stride;
    //#for r in 0..ROWS
    {
      //#for i in 0..4
      let x$i = vec4f(subgroupBroadcast(a$i[${r % 4}], ${r / 4}u));
      //#end
      //#for j in 0..COLUMNS
      c${r}_${j} = fma(x3, b3_$j, fma(x2, b2_$j, fma(x1, b1_$j, fma(x0, b0_$j, c${r}_${j}))));
      //#end
    }
    //#end
  }
  let start = row * b_stride + column;
  //#for r in 0..ROWS
  //#for j in 0..COLUMNS
  store(start + ${r}u * b_stride + ${j * SUBGROUP}u, c${r}_${j});
  //#end
  //#end
  //#if GELU || DGELU
  for (var r = 0u; r < ${ROWS}u; r++) {
    for (var j = 0u; j < ${COLUMNS}u; j++) {
      finish(start + r * b_stride + j * ${SUBGROUP}u);
    }
  }
  //#end
}
