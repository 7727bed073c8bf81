// out[b, t, c] (+)= scale · w[b, t] · q[b, c]: one vector of a text given to all of its tokens, the derivative of
// token_dot.wgsl and token_sum.wgsl; without WEIGHTED w = 1.
// w [B, T], q [B, C], out [B, T, C]; T is vec4f where C is a multiple of 4, else f32, and WIDTH = C / lanes(T).
// Flag ACCUMULATE adds to what out holds.
struct Dims { rows: u32, length: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> q: array<$T>;
@group(0) @binding(1) var<storage, read_write> out: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if WEIGHTED
@group(0) @binding(3) var<storage, read> w: array<f32>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let row = index / ${WIDTH}u;
  if (row >= dims.rows) { return; }
  let value = q[row / dims.length * ${WIDTH}u + index % ${WIDTH}u];
  //#if WEIGHTED
  let result = dims.scale * w[row] * value;
  //#else
  let result = dims.scale * value;
  //#end
  //#if ACCUMULATE
  out[index] += result;
  //#else
  out[index] = result;
  //#end
}
