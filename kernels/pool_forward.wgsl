// One vector per text from its tokens. x [B, T, C] as vec4, mask [B, T], out [B, C] as vec4; C = 4 · COLUMNS.
// MEAN = 0: out[b] = x[b, 0], the [CLS] token. MEAN = 1: out[b] = Σ_t mask · x / max(Σ_t mask, 1), so that a fully
// padded row gives 0.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4f>;
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
  //#if MEAN
  var total = vec4f();
  var count = 0u;
  for (var t = first; t < first + dims.length; t++) {
    if (mask[t] != 0u) {
      total += x[t * ${COLUMNS}u + column];
      count++;
    }
  }
  out[index] = total / f32(max(count, 1u));
  //#else
  out[index] = x[first * ${COLUMNS}u + column];
  //#end
}
