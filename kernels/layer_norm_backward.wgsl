// The derivative of layer_norm_forward.wgsl with respect to its summed input, and through the dropout to x:
//   g = dy ∘ gamma;  ds = rstd · (g - mean(g) - xhat · mean(g ∘ xhat));  dresidual = ds;  dx = mask ∘ ds.
// dgamma = Σ rows dy ∘ xhat and dbeta = Σ rows dy are column sums (column_sum.wgsl).
// dy, xhat, ds, dx [M, C] as vec4; gamma [C] as vec4; rstd [M]. dx is bound with DROPOUT only: without it dx = ds.
// One row per LANES threads, in registers. Flags: DROPOUT, SUBGROUP. XHAT_TYPE, XHAT_READ: how xhat is stored, see half.wgsl.
struct Dims { rows: u32, site: u32, threshold: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> xhat: array<$XHAT_TYPE>;
@group(0) @binding(2) var<storage, read> rstd: array<f32>;
@group(0) @binding(3) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> ds: array<vec4f>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#if DROPOUT
@group(0) @binding(6) var<storage, read_write> dx: array<vec4f>;
//#include "step.wgsl"
//#include "philox.wgsl"
//#include "dropout_mask.wgsl"
//#end
//#include "row_reduce.wgsl"
//#if HALF
//#include "half.wgsl"
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let row = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let inside = row < dims.rows;
  let start = row * ${COLUMNS}u;
  var sum_g = vec4f();
  var sum_gx = vec4f();
  //#for i in 0..PER_LANE
  var g$i = vec4f();
  var h$i = vec4f();
  let column$i = ${i * LANES}u + lane;
  if (inside && column$i < ${COLUMNS}u) {
    g$i = dy[start + column$i] * gamma[column$i];
    h$i = $XHAT_READ(xhat[start + column$i]);
    sum_g += g$i;
    sum_gx += g$i * h$i;
  }
  //#end
  let mean_g = row_sum(sum_g.x + sum_g.y + sum_g.z + sum_g.w, lane) / ${4 * COLUMNS}.0;
  let mean_gx = row_sum(sum_gx.x + sum_gx.y + sum_gx.z + sum_gx.w, lane) / ${4 * COLUMNS}.0;
  if (!inside) { return; }
  let inverse = rstd[row];
  //#for i in 0..PER_LANE
  if (column$i < ${COLUMNS}u) {
    let value = inverse * (g$i - mean_g - h$i * mean_gx);
    ds[start + column$i] = value;
    //#if DROPOUT
    dx[start + column$i] = value * dropout_mask(start + column$i, dims.site, dims.threshold, dims.scale);
    //#end
  }
  //#end
}
