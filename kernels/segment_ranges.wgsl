// ranges[b, s] = (first token, last token + 1, number of tokens) of segment s of text b, and 0: what the mean over a
// segment and its derivative need. segments [B, T]: the segment of each token, `count` or more for none; ranges [B, S, 4].
struct Dims { batch: u32, length: u32, count: u32 }
@group(0) @binding(0) var<storage, read> segments: array<u32>;
@group(0) @binding(1) var<storage, read_write> ranges: array<vec4u>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let b = index / dims.count;
  if (b >= dims.batch) { return; }
  let segment = index % dims.count;
  var range = vec4u();
  for (var t = 0u; t < dims.length; t++) {
    if (segments[b * dims.length + t] == segment) {
      if (range.z == 0u) { range.x = t; }
      range.y = t + 1u;
      range.z++;
    }
  }
  ranges[index] = range;
}
