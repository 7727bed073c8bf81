// partial[g, n] = Σ over rows m of chunk g of weight(m) · x[m, n] (· other[m, n] with PRODUCT): the first of the two
// stages of bias, LayerNorm and token-type gradients; sum_partials.wgsl adds the chunks in their order.
// x, other [M, N], partial [ceil(M / CHUNK), N]; T is vec4f when N is a multiple of 4, else f32, and WIDTH = N / lanes(T).
// X_TYPE, X_READ and those of OTHER: how they are stored, see half.wgsl.
// With SELECT weight(m) = 1 where selector[m] == dims.selected, else 0; without it 1.
struct Dims { rows: u32, selected: u32 }
@group(0) @binding(0) var<storage, read> x: array<$X_TYPE>;
@group(0) @binding(1) var<storage, read_write> partial: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if HALF
//#include "half.wgsl"
//#end
//#if PRODUCT
@group(0) @binding(3) var<storage, read> other: array<$OTHER_TYPE>;
//#end
//#if SELECT
@group(0) @binding(4) var<storage, read> selector: array<u32>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  // Threads are numbered over (chunk, column), so that narrow tensors leave none idle.
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let column = index % ${WIDTH}u;
  let first = index / ${WIDTH}u * ${CHUNK}u;
  if (first >= dims.rows) { return; }
  let last = min(first + ${CHUNK}u, dims.rows);
  var total = $T();
  for (var row = first; row < last; row++) {
    //#if SELECT
    if (selector[row] != dims.selected) { continue; }
    //#end
    //#if PRODUCT
    total += $X_READ(x[row * ${WIDTH}u + column]) * $OTHER_READ(other[row * ${WIDTH}u + column]);
    //#else
    total += $X_READ(x[row * ${WIDTH}u + column]);
    //#end
  }
  partial[index] = total;
}
