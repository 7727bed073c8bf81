// y[r, y_first + c] (+)= x[r, x_first + c] for `columns` columns c of every row: concatenation and slices along the last
// dimension, each the other's derivative. x [rows, x_width], y [rows, y_width]; T is vec4f where all of these numbers are
// multiples of 4, which they then count, else f32. Flag FILL sets the other columns of y to 0; ACCUMULATE adds to what y holds.
struct Dims { rows: u32, columns: u32, x_width: u32, x_first: u32, y_width: u32, y_first: u32 }
@group(0) @binding(0) var<storage, read> x: array<$T>;
@group(0) @binding(1) var<storage, read_write> y: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  //#if FILL
  let row = index / dims.y_width;
  if (row >= dims.rows) { return; }
  // Columns before the first wrap around to large numbers.
  let column = index % dims.y_width - dims.y_first;
  if (column >= dims.columns) {
    y[index] = $T();
    return;
  }
  //#else
  let row = index / dims.columns;
  if (row >= dims.rows) { return; }
  let column = index % dims.columns;
  //#end
  let value = x[row * dims.x_width + dims.x_first + column];
  let at = row * dims.y_width + dims.y_first + column;
  //#if ACCUMULATE
  y[at] += value;
  //#else
  y[at] = value;
  //#end
}
