// dtable[id] += Σ dx[m] over the tokens m of that id, in the order of m: a segmented sum over ids sorted on the CPU
// (llm.c's encoder_backward buckets), deterministic without float atomics.
// dx [M, C] as vec4, C = 4 · COLUMNS; order [M]: tokens sorted by id, stable; segments [2 · S]: (id, start) of each
// run in order, closed by (0xffffffff, end). The table's gradient is bound as a window of rows [first, first + count).
// Flag ROWS: instead, the sums stand in the order of the runs, and 0 behind the last of them. rows [S, C].
//#if ROWS
struct Dims { segments: u32 }
//#else
struct Dims { segments: u32, first: u32, count: u32 }
//#end
@group(0) @binding(0) var<storage, read> dx: array<vec4f>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> segments: array<vec2u>;
//#if ROWS
@group(0) @binding(3) var<storage, read_write> rows: array<vec4f>;
//#else
@group(0) @binding(3) var<storage, read_write> dtable: array<vec4f>;
//#end
@group(0) @binding(4) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let segment = index / ${COLUMNS}u;
  let column = index % ${COLUMNS}u;
  if (segment >= dims.segments) { return; }
  let here = segments[segment];
  // The closing entry and everything behind it has id 0xffffffff, which no window holds.
  //#if ROWS
  if (here.x == 0xffffffffu) {
    rows[index] = vec4f();
    return;
  }
  //#else
  let row = here.x - dims.first;
  if (here.x == 0xffffffffu || row >= dims.count) { return; }
  //#end
  let end = segments[segment + 1u].y;
  var total = vec4f();
  for (var i = here.y; i < end; i++) { total += dx[order[i] * ${COLUMNS}u + column]; }
  //#if ROWS
  rows[index] = total;
  //#else
  dtable[row * ${COLUMNS}u + column] += total;
  //#end
}
