// out[b, c] (+)= scale · Σ_t w[b, t] · x[b, t, c], over the tokens in their order; without WEIGHTED w = 1.
// w [B, T], x [B, T, C], out [B, C]; T is vec4f where C is a multiple of 4, else f32, and WIDTH = C / lanes(T).
// A token of weight 0 is not read: what padding holds reaches no sum. Flag ACCUMULATE adds to what out holds.
struct Dims { batch: u32, length: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<$T>;
@group(0) @binding(1) var<storage, read_write> out: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if WEIGHTED
@group(0) @binding(3) var<storage, read> w: array<f32>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let b = index / ${WIDTH}u;
  if (b >= dims.batch) { return; }
  let column = index % ${WIDTH}u;
  let first = b * dims.length;
  var total = $T();
  for (var t = first; t < first + dims.length; t++) {
    //#if WEIGHTED
    if (w[t] != 0.0) { total += w[t] * x[t * ${WIDTH}u + column]; }
    //#else
    total += x[t * ${WIDTH}u + column];
    //#end
  }
  //#if ACCUMULATE
  out[index] += dims.scale * total;
  //#else
  out[index] = dims.scale * total;
  //#end
}
