// One vector per text from its tokens. x [B, T, C], mask [B, T], out [B, C]; T is vec4f where C is a multiple of 4, else
// f32, and WIDTH = C / lanes(T).
// CLS: out[b] = x[b, 0], the [CLS] token. MEAN: out[b] = Σ_t mask · x / max(Σ_t mask, 1). MAX: the largest of the real
// tokens, the first of equals, whose number `winner` [B, C] keeps (0xffffffff: none); U is vec4u or u32 as T.
// A fully padded row gives 0 under MEAN and MAX.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> x: array<$T>;
@group(0) @binding(1) var<storage, read_write> out: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if MEAN || MAX
@group(0) @binding(3) var<storage, read> mask: array<u32>;
//#end
//#if MAX
@group(0) @binding(4) var<storage, read_write> winner: array<$U>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let b = index / ${WIDTH}u;
  let column = index % ${WIDTH}u;
  if (b >= dims.batch) { return; }
  let first = b * dims.length;
  //#if MEAN
  var total = $T();
  var count = 0u;
  for (var t = first; t < first + dims.length; t++) {
    if (mask[t] != 0u) {
      total += x[t * ${WIDTH}u + column];
      count++;
    }
  }
  out[index] = total / f32(max(count, 1u));
  //#end
  //#if MAX
  var highest = $T();
  var chosen = $U(0xffffffffu);
  for (var t = 0u; t < dims.length; t++) {
    if (mask[first + t] != 0u) {
      let value = x[(first + t) * ${WIDTH}u + column];
      let better = (value > highest) | (chosen == $U(0xffffffffu));
      highest = select(highest, value, better);
      chosen = select(chosen, $U(t), better);
    }
  }
  out[index] = highest;
  winner[index] = chosen;
  //#end
  //#if CLS
  out[index] = x[first * ${WIDTH}u + column];
  //#end
}
