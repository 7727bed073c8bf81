// out[b, s, c] = mean of x[b, t, c] over the tokens t of segment s, in their order; 0 for a segment without tokens.
// x [B, T, C], segments [B, T], ranges [B, S, 4] (segment_ranges.wgsl), out [B, S, C]; T is vec4f where C is a multiple
// of 4, else f32, and WIDTH = C / lanes(T); `rows` = B · S, `count` = S.
struct Dims { rows: u32, length: u32, count: u32 }
@group(0) @binding(0) var<storage, read> x: array<$T>;
@group(0) @binding(1) var<storage, read> segments: array<u32>;
@group(0) @binding(2) var<storage, read> ranges: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> out: array<$T>;
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let row = index / ${WIDTH}u;
  if (row >= dims.rows) { return; }
  let column = index % ${WIDTH}u;
  let first = row / dims.count * dims.length;
  let range = ranges[row];
  var total = $T();
  for (var t = first + range.x; t < first + range.y; t++) {
    if (segments[t] == row % dims.count) { total += x[t * ${WIDTH}u + column]; }
  }
  out[index] = total / f32(max(range.z, 1u));
}
