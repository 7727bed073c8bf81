// out[row, n] (+)= Σ_g partial[g, n], g ascending: the fixed-order second stage of a two-stage sum.
// partial [G, N], out [R, N]; T is vec4f or f32, WIDTH = N / lanes(T). Flag ACCUMULATE adds to what out holds.
struct Dims { count: u32, row: u32 }
@group(0) @binding(0) var<storage, read> partial: array<$T>;
@group(0) @binding(1) var<storage, read_write> out: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let column = group.x * 64u + thread;
  if (column >= ${WIDTH}u) { return; }
  var total = $T();
  for (var g = 0u; g < dims.count; g++) { total += partial[g * ${WIDTH}u + column]; }
  //#if ACCUMULATE
  out[dims.row * ${WIDTH}u + column] += total;
  //#else
  out[dims.row * ${WIDTH}u + column] = total;
  //#end
}
