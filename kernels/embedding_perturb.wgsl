// out[m] += scale · rows[s] for every token m of segment s: the word embedding of each id moved by a row of its own, while
// the table stays as it is. out [M, C] as vec4, C = 4 · COLUMNS; rows [S, C], row s for the s-th run of equal ids; order
// and segments as in embedding_backward.wgsl, whose transpose this is; scale [1].
struct Dims { segments: u32 }
@group(0) @binding(0) var<storage, read> rows: array<vec4f>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> segments: array<vec2u>;
@group(0) @binding(3) var<storage, read> scale: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(5) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let segment = index / ${COLUMNS}u;
  let column = index % ${COLUMNS}u;
  if (segment >= dims.segments) { return; }
  let here = segments[segment];
  // A scale of 0 says that the rows are no numbers, or zeros.
  if (here.x == 0xffffffffu || scale[0] == 0.0) { return; }
  let end = segments[segment + 1u].y;
  let change = scale[0] * rows[segment * ${COLUMNS}u + column];
  for (var i = here.y; i < end; i++) { out[order[i] * ${COLUMNS}u + column] += change; }
}
