// The derivative of pool_forward.wgsl: dx [B, T, C] from dout [B, C], both as vec4; mask [B, T]; C = 4 · COLUMNS.
// MEAN = 0: dx[b, 0] = dout[b], 0 elsewhere. MEAN = 1: dx[b, t] = mask · dout[b] / max(Σ mask, 1).
// Flag ACCUMULATE adds to what dx holds.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> dout: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> dx: array<vec4f>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if MEAN
@group(0) @binding(3) var<storage, read> mask: array<u32>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = group.x * 64u + thread;
  let b = index / ${COLUMNS}u;
  let column = index % ${COLUMNS}u;
  if (b >= dims.batch) { return; }
  let first = b * dims.length;
  var value = dout[index];
  //#if MEAN
  var count = 0u;
  for (var t = first; t < first + dims.length; t++) { count += select(0u, 1u, mask[t] != 0u); }
  value /= f32(max(count, 1u));
  //#end
  for (var t = 0u; t < dims.length; t++) {
    let at = (first + t) * ${COLUMNS}u + column;
    //#if MEAN
    let share = select(vec4f(), value, mask[first + t] != 0u);
    //#else
    let share = select(vec4f(), value, t == 0u);
    //#end
    //#if ACCUMULATE
    dx[at] += share;
    //#else
    dx[at] = share;
    //#end
  }
}
