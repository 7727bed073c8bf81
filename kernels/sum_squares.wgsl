// partial[first + chunk] = Σ g² over a chunk of CHUNK vec4: the first stage of the global gradient norm.
// g [4 · count] as vec4. One chunk per LANES threads; clip_decide.wgsl adds the partials in their order.
struct Dims { count: u32, first: u32 }
@group(0) @binding(0) var<storage, read> g: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> partial: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#include "row_reduce.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let chunk = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let start = chunk * ${CHUNK}u;
  var total = vec4f();
  for (var i = start + lane; i < min(start + ${CHUNK}u, dims.count); i += ${LANES}u) { total += g[i] * g[i]; }
  let sum = row_sum((total.x + total.y) + (total.z + total.w), lane);
  if (lane == 0u && start < dims.count) { partial[dims.first + chunk] = sum; }
}
