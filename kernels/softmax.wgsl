// Softmax over the last dimension, as `torch.softmax(x, -1)`, and its derivative dx = y ∘ (dy - Σ dy ∘ y).
// x, y, dy, dx [M, N]. One row per LANES threads. BACKWARD = 0: y from x; BACKWARD = 1: dx from y and dy.
struct Dims { rows: u32, columns: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if BACKWARD
@group(0) @binding(3) var<storage, read> dy: array<f32>;
//#end
//#include "row_reduce.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let row = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let first = min(row, dims.rows - 1u) * dims.columns;
  //#if BACKWARD
  var inner = 0.0;
  for (var i = lane; i < dims.columns; i += ${LANES}u) { inner += x[first + i] * dy[first + i]; }
  inner = row_sum(inner, lane);
  if (row >= dims.rows) { return; }
  for (var i = lane; i < dims.columns; i += ${LANES}u) { y[first + i] = x[first + i] * (dy[first + i] - inner); }
  //#else
  var highest = -3.0e38;
  for (var i = lane; i < dims.columns; i += ${LANES}u) { highest = max(highest, x[first + i]); }
  highest = row_max(highest, lane);
  var total = 0.0;
  for (var i = lane; i < dims.columns; i += ${LANES}u) { total += exp(x[first + i] - highest); }
  total = row_sum(total, lane);
  if (row >= dims.rows) { return; }
  for (var i = lane; i < dims.columns; i += ${LANES}u) { y[first + i] = exp(x[first + i] - highest) / total; }
  //#end
}
