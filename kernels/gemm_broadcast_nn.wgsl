// C[M, N] = A[M, K] · B[K, N], preset "broadcast": dx = dy·W of a linear layer.
//
//   a [M, K] as vec4f along K      rows readable up to the next multiple of ROWS
//   b [K, N] as vec4f along N      N a multiple of 4·SUBGROUP·COLUMNS, K of 4
//   c [M, N] as vec4f              rows writable up to the next multiple of ROWS; see gemm_epilogue.wgsl
//
// As gemm_broadcast_nt.wgsl, but a lane owns COLUMNS vec4 of columns: four k of A meet four rows of B.

struct Dims {
  rows: u32, // M
  n: u32,
  k: u32,
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
  if (row >= dims.rows) {
    return;
  }
  let a_stride = dims.k / 4u;
  let b_stride = dims.n / 4u;
  //#for g in 0..ROWS / SUBGROUP
  let a_start$g = (row + ${g * SUBGROUP}u + lane) * a_stride;
  //#end
  //#for j in 0..COLUMNS
  let initial$j = initial(column + ${j * SUBGROUP}u);
  //#for r in 0..ROWS
  var c${r}_${j} = initial$j;
  //#end
  //#end
  var b_start = column;
  for (var k = 0u; k < a_stride; k++) {
    //#for g in 0..ROWS / SUBGROUP
    let a$g = a[a_start$g + k];
    //#end
    //#for i in 0..4
    //#for j in 0..COLUMNS
    let b${i}_${j} = b[b_start + ${i}u * b_stride + ${j * SUBGROUP}u];
    //#end
    //#end
    b_start += 4u * b_stride;
    //#for r in 0..ROWS
    {
      let x = subgroupBroadcast(a${r / SUBGROUP}, ${r % SUBGROUP}u);
      //#for j in 0..COLUMNS
      c${r}_${j} = fma(x.wwww, b3_$j, fma(x.zzzz, b2_$j, fma(x.yyyy, b1_$j, fma(x.xxxx, b0_$j, c${r}_${j}))));
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
