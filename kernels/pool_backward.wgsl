// The derivative of pool_forward.wgsl: dx [B, T, C] from dout [B, C]; mask [B, T]; T, U and WIDTH as there.
// CLS: dx[b, 0] = dout[b], 0 elsewhere. MEAN: dx[b, t] = mask · dout[b] / max(Σ mask, 1). MAX: dx[b, t, c] = dout[b, c] at
// t = winner[b, c], 0 elsewhere. Flag ACCUMULATE adds to what dx holds.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> dout: array<$T>;
@group(0) @binding(1) var<storage, read_write> dx: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if MEAN
@group(0) @binding(3) var<storage, read> mask: array<u32>;
//#end
//#if MAX
@group(0) @binding(4) var<storage, read> winner: array<$U>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let b = index / ${WIDTH}u;
  let column = index % ${WIDTH}u;
  if (b >= dims.batch) { return; }
  let first = b * dims.length;
  var value = dout[index];
  //#if MEAN
  var count = 0u;
  for (var t = first; t < first + dims.length; t++) { count += select(0u, 1u, mask[t] != 0u); }
  value /= f32(max(count, 1u));
  //#end
  //#if MAX
  let chosen = winner[index];
  //#end
  for (var t = 0u; t < dims.length; t++) {
    let at = (first + t) * ${WIDTH}u + column;
    //#if MEAN
    let share = select($T(), value, mask[first + t] != 0u);
    //#end
    //#if MAX
    let share = select($T(), value, chosen == $U(t));
    //#end
    //#if CLS
    let share = select($T(), value, t == 0u);
    //#end
    //#if ACCUMULATE
    dx[at] += share;
    //#else
    dx[at] = share;
    //#end
  }
}
