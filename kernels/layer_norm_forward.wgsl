// y = LayerNorm(residual + dropout(x)) · gamma + beta, as `torch.nn.functional.layer_norm` over the last dimension.
//   s = residual + mask ∘ x;  xhat = (s - mean(s)) · rstd;  rstd = 1 / sqrt(var(s) + eps), biased variance, two passes.
// Saved for the backward pass: xhat [M, C] and rstd [M]; the mask is recomputed.
// x, residual, y, xhat [M, C] as vec4; gamma, beta [C] as vec4. C = 4 · COLUMNS.
// One row per LANES threads, the row in registers (PER_LANE vec4 each); 64 threads per workgroup.
// Flags: RESIDUAL, DROPOUT, SUBGROUP. XHAT_TYPE, XHAT_WRITE: how xhat is stored, see half.wgsl.
struct Dims { rows: u32, eps: f32, site: u32, threshold: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> xhat: array<$XHAT_TYPE>;
@group(0) @binding(5) var<storage, read_write> rstd: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;
//#if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<vec4f>;
//#end
//#if DROPOUT
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
  //#for i in 0..PER_LANE
  var s$i = vec4f();
  let column$i = ${i * LANES}u + lane;
  if (inside && column$i < ${COLUMNS}u) {
    s$i = x[start + column$i];
    //#if DROPOUT
    s$i *= dropout_mask(start + column$i, dims.site, dims.threshold, dims.scale);
    //#end
    //#if RESIDUAL
    s$i += residual[start + column$i];
    //#end
  }
  //#end
  var partial = vec4f();
  //#for i in 0..PER_LANE
  partial += s$i;
  //#end
  let mean = row_sum(partial.x + partial.y + partial.z + partial.w, lane) / ${4 * COLUMNS}.0;
  var squares = vec4f();
  //#for i in 0..PER_LANE
  s$i = select(vec4f(), s$i - mean, column$i < ${COLUMNS}u);
  squares += s$i * s$i;
  //#end
  let variance = row_sum(squares.x + squares.y + squares.z + squares.w, lane) / ${4 * COLUMNS}.0;
  let inverse = 1.0 / sqrt(variance + dims.eps);
  if (!inside) { return; }
  //#for i in 0..PER_LANE
  if (column$i < ${COLUMNS}u) {
    let normal = s$i * inverse;
    xhat[start + column$i] = $XHAT_WRITE(normal);
    y[start + column$i] = normal * gamma[column$i] + beta[column$i];
  }
  //#end
  if (lane == 0u) { rstd[row] = inverse; }
}
