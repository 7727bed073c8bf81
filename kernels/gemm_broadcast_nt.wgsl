// C[M, N] = A[M, K] · B[N, K]ᵀ, preset "broadcast": y = x·Wᵀ of a linear layer.
//
//   a [M, K] as vec4f along K      rows readable up to the next multiple of ROWS
//   b [N, K] as vec4f along K      N a multiple of SUBGROUP·COLUMNS, K of 4
//   c [M, N] as f32                rows writable up to the next multiple of ROWS; see gemm_epilogue.wgsl
//
// One subgroup owns ROWS x (SUBGROUP·COLUMNS) of C. Lane l loads row l of each group of SUBGROUP rows of A, four k at a
// time, and column l of each group of columns; `subgroupBroadcast` then hands the rows round. There is no workgroup
// memory and no barrier: on a CPU driver a load is a scalar loop over the lanes and a barrier spills every live value,
// while broadcasts and FMAs are single instructions. Subgroups of one workgroup share nothing; a workgroup holds several
// only because starting one costs more. The subgroupShuffle path of ONNX Runtime's WebGPU matmul is the same idea.

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
  let stride = dims.k / 4u;
  //#for g in 0..ROWS / SUBGROUP
  let a_start$g = (row + ${g * SUBGROUP}u + lane) * stride;
  //#end
  //#for j in 0..COLUMNS
  let b_start$j = (column + ${j * SUBGROUP}u) * stride;
  //#end
  //#for j in 0..COLUMNS
  let initial$j = initial(column + ${j * SUBGROUP}u);
  //#for r in 0..ROWS
  var c${r}_${j} = initial$j;
  //#end
  //#end
  for (var k = 0u; k < stride; k++) {
    //#for g in 0..ROWS / SUBGROUP
    let a$g = a[a_start$g + k];
    //#end
    //#for j in 0..COLUMNS
    let b$j = b[b_start$j + k];
    //#end
    //#for r in 0..ROWS
    {
      let x = subgroupBroadcast(a${r / SUBGROUP}, ${r % SUBGROUP}u);
      //#for j in 0..COLUMNS
      c${r}_${j} = fma(x.w, b$j.w, fma(x.z, b$j.z, fma(x.y, b$j.y, fma(x.x, b$j.x, c${r}_${j}))));
      //#end
    }
    //#end
  }
  let start = row * dims.n + column;
  //#for r in 0..ROWS
  //#for j in 0..COLUMNS
  store(start + ${r}u * dims.n + ${j * SUBGROUP}u, c${r}_${j});
  //#end
  //#end
  //#if GELU || DGELU
  for (var r = 0u; r < ${ROWS}u; r++) {
    for (var j = 0u; j < ${COLUMNS}u; j++) {
      finish(start + r * dims.n + j * ${SUBGROUP}u);
    }
  }
  //#end
}
