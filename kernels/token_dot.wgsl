// out[b, t] (+)= scale · Σ_c q[b, c] · k[b, t, c]: every token of a text against one vector of the text.
// q [B, C], k [B, T, C], out [B, T]; T is vec4f where C is a multiple of 4, else f32, and WIDTH = C / lanes(T).
// One token per LANES threads. Flags: SUBGROUP; ACCUMULATE adds to what out holds.
struct Dims { rows: u32, length: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> q: array<$T>;
@group(0) @binding(1) var<storage, read> k: array<$T>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#include "row_reduce.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let index = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let row = min(index, dims.rows - 1u);
  let query = row / dims.length * ${WIDTH}u;
  let key = row * ${WIDTH}u;
  var total = $T();
  for (var c = lane; c < ${WIDTH}u; c += ${LANES}u) { total += q[query + c] * k[key + c]; }
  //#if VECTOR
  let sum = dims.scale * row_sum((total.x + total.y) + (total.z + total.w), lane);
  //#else
  let sum = dims.scale * row_sum(total, lane);
  //#end
  if (lane != 0u || index >= dims.rows) { return; }
  //#if ACCUMULATE
  out[index] += sum;
  //#else
  out[index] = sum;
  //#end
}
