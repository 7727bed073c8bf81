// out[m] = word[ids[m]] + position[positions[m]] + token_type[types[m]], the sum of BertEmbeddings before LayerNorm.
// ids, positions, types [M]; out [M, C] as vec4, C = 4 · COLUMNS. The word table is bound as a window of its rows
// [first, first + count): one dispatch per window, each writing only the rows whose id falls into it, so that a table
// may be larger than one binding. Flag TYPES: whether the model has token types.
struct Dims { tokens: u32, first: u32, count: u32 }
@group(0) @binding(0) var<storage, read> ids: array<u32>;
@group(0) @binding(1) var<storage, read> positions: array<u32>;
@group(0) @binding(2) var<storage, read> word: array<vec4f>;
@group(0) @binding(3) var<storage, read> position: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4f>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#if TYPES
@group(0) @binding(6) var<storage, read> types: array<u32>;
@group(0) @binding(7) var<storage, read> token_type: array<vec4f>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let token = index / ${COLUMNS}u;
  let column = index % ${COLUMNS}u;
  if (token >= dims.tokens) { return; }
  let row = ids[token] - dims.first;
  if (row >= dims.count) { return; }
  var sum = word[row * ${COLUMNS}u + column] + position[positions[token] * ${COLUMNS}u + column];
  //#if TYPES
  sum += token_type[types[token] * ${COLUMNS}u + column];
  //#end
  out[index] = sum;
}
