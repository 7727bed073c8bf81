// partial[chunk · stride + first] = Σ a ∘ b over a chunk of CHUNK T: the first of the two stages of the gradient of a
// learned scalar; sum_partials.wgsl adds the chunks in their order.
// a, b: flat tensors of `count` T; T is vec4f where the number of elements is a multiple of 4, else f32. One chunk per
// LANES threads.
struct Dims { count: u32, stride: u32, first: u32 }
@group(0) @binding(0) var<storage, read> a: array<$T>;
@group(0) @binding(1) var<storage, read> b: array<$T>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#include "row_reduce.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let chunk = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let start = chunk * ${CHUNK}u;
  var total = $T();
  for (var i = start + lane; i < min(start + ${CHUNK}u, dims.count); i += ${LANES}u) { total += a[i] * b[i]; }
  //#if VECTOR
  let sum = row_sum((total.x + total.y) + (total.z + total.w), lane);
  //#else
  let sum = row_sum(total, lane);
  //#end
  if (lane == 0u && start < dims.count) { partial[chunk * dims.stride + dims.first] = sum; }
}
