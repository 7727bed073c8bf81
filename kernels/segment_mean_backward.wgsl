// The derivative of segment_mean_forward.wgsl: dx[b, t] (+)= dout[b, s] / (tokens of s), s the segment of token t; 0 for a
// token of no segment. dout [B, S, C], segments [B, T], ranges [B, S, 4], dx [B, T, C]; T and WIDTH as there; `rows` = B · T.
// Flag ACCUMULATE adds to what dx holds.
struct Dims { rows: u32, length: u32, count: u32 }
@group(0) @binding(0) var<storage, read> dout: array<$T>;
@group(0) @binding(1) var<storage, read> segments: array<u32>;
@group(0) @binding(2) var<storage, read> ranges: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> dx: array<$T>;
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let row = index / ${WIDTH}u;
  if (row >= dims.rows) { return; }
  let segment = segments[row];
  var value = $T();
  if (segment < dims.count) {
    let at = row / dims.length * dims.count + segment;
    value = dout[at * ${WIDTH}u + index % ${WIDTH}u] / f32(ranges[at].z);
  }
  //#if ACCUMULATE
  dx[index] += value;
  //#else
  dx[index] = value;
  //#end
}
