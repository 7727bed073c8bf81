// Softmax over the last dimension, as `torch.softmax(x, -1)`, and its derivative dx = y ∘ (dy - Σ dy ∘ y).
// x, y, dy, dx [M, N]. One row per LANES threads. BACKWARD = 0: y from x; BACKWARD = 1: dx from y and dy.
// With MASK, mask [M, N], the softmax is over elements of mask 1 alone: the others, whatever they hold, give y = 0 and
// dx = 0, and so does a row without any.
struct Dims { rows: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if BACKWARD
@group(0) @binding(3) var<storage, read> dy: array<f32>;
//#end
//#if MASK
@group(0) @binding(4) var<storage, read> mask: array<u32>;
fn counts(i: u32) -> bool { return mask[i] != 0u; }
//#else
fn counts(i: u32) -> bool { return true; }
//#end
//#include "row_reduce.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let row = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let first = min(row, dims.rows - 1u) * dims.columns;
  let end = first + dims.columns;
  //#if BACKWARD
  var inner = 0.0;
  for (var i = first + lane; i < end; i += ${LANES}u) {
    if (counts(i)) { inner += x[i] * dy[i]; }
  }
  inner = row_sum(inner, lane);
  if (row >= dims.rows) { return; }
  for (var i = first + lane; i < end; i += ${LANES}u) { y[i] = select(0.0, x[i] * (dy[i] - inner), counts(i)); }
  //#else
  var highest = -3.0e38;
  for (var i = first + lane; i < end; i += ${LANES}u) {
    if (counts(i)) { highest = max(highest, x[i]); }
  }
  highest = row_max(highest, lane);
  var total = 0.0;
  for (var i = first + lane; i < end; i += ${LANES}u) {
    if (counts(i)) { total += exp(max(x[i] - highest, -104.0)); }
  }
  total = row_sum(total, lane);
  if (row >= dims.rows) { return; }
  for (var i = first + lane; i < end; i += ${LANES}u) {
    y[i] = select(0.0, exp(max(x[i] - highest, -104.0)) / total, counts(i));
  }
  //#end
}
