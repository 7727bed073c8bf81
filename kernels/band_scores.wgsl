// Biaffine scores of all spans of at most BAND tokens and their derivatives (Dozat & Manning 2017, arXiv:1611.01734; as a
// span scorer Yu, Bohnet & Poesio 2020): for criterion k the span of tokens i to j = i + l scores
//   scores[b, i, k, l] = Σ_d q[b, i, k, d] · e[b, j, d] + ends[b, i, 2k] + ends[b, j, 2k + 1],   0 where j is past the row
// q [B, T, K, D] is the start times the bilinear form, e [B, T, D] the end, both as vec4 with D = 4 · WIDTH; ends [B, T, 2K]
// the linear terms. PART 0: scores; 1: dq; 2: de; 3: dends, each from dscores. ACCUMULATE adds to what the output holds.
struct Dims { batch: u32, length: u32 }
//#if PART == 0
@group(0) @binding(0) var<storage, read> q: array<vec4f>;
@group(0) @binding(1) var<storage, read> e: array<vec4f>;
@group(0) @binding(2) var<storage, read> ends: array<f32>;
@group(0) @binding(3) var<storage, read_write> scores: array<f32>;
@group(0) @binding(4) var<uniform> dims: Dims;
//#end
//#if PART == 1
@group(0) @binding(0) var<storage, read> dscores: array<f32>;
@group(0) @binding(1) var<storage, read> e: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> dq: array<vec4f>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#end
//#if PART == 2
@group(0) @binding(0) var<storage, read> dscores: array<f32>;
@group(0) @binding(1) var<storage, read> q: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> de: array<vec4f>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#end
//#if PART == 3
@group(0) @binding(0) var<storage, read> dscores: array<f32>;
@group(0) @binding(1) var<storage, read_write> dends: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  let tokens = dims.batch * dims.length;
  //#if PART == 0
  if (index >= tokens * ${CRITERIA * BAND}u) { return; }
  let l = index % ${BAND}u;
  let k = (index / ${BAND}u) % ${CRITERIA}u;
  let i = index / ${CRITERIA * BAND}u;
  if (i % dims.length + l >= dims.length) {
    scores[index] = 0.0;
    return;
  }
  let row = (i * ${CRITERIA}u + k) * ${WIDTH}u;
  let column = (i + l) * ${WIDTH}u;
  var total = vec4f();
  for (var d = 0u; d < ${WIDTH}u; d++) { total += q[row + d] * e[column + d]; }
  scores[index] = total.x + total.y + total.z + total.w + ends[i * ${2 * CRITERIA}u + 2u * k] +
    ends[(i + l) * ${2 * CRITERIA}u + 2u * k + 1u];
  //#end
  //#if PART == 1
  if (index >= tokens * ${CRITERIA * WIDTH}u) { return; }
  let d = index % ${WIDTH}u;
  let row = index / ${WIDTH}u; // (b, i, k)
  let i = row / ${CRITERIA}u;
  let reach = min(${BAND}u, dims.length - i % dims.length);
  var total = vec4f();
  for (var l = 0u; l < reach; l++) { total += dscores[row * ${BAND}u + l] * e[(i + l) * ${WIDTH}u + d]; }
  //#if ACCUMULATE
  total += dq[index];
  //#end
  dq[index] = total;
  //#end
  //#if PART == 2
  if (index >= tokens * ${WIDTH}u) { return; }
  let d = index % ${WIDTH}u;
  let j = index / ${WIDTH}u;
  let reach = min(${BAND}u, j % dims.length + 1u);
  var total = vec4f();
  for (var l = 0u; l < reach; l++) {
    for (var k = 0u; k < ${CRITERIA}u; k++) {
      let row = (j - l) * ${CRITERIA}u + k;
      total += dscores[row * ${BAND}u + l] * q[row * ${WIDTH}u + d];
    }
  }
  //#if ACCUMULATE
  total += de[index];
  //#end
  de[index] = total;
  //#end
  //#if PART == 3
  if (index >= tokens * ${2 * CRITERIA}u) { return; }
  let k = (index % ${2 * CRITERIA}u) / 2u;
  let token = index / ${2 * CRITERIA}u;
  var total = 0.0;
  if ((index & 1u) == 0u) {
    let reach = min(${BAND}u, dims.length - token % dims.length);
    for (var l = 0u; l < reach; l++) { total += dscores[(token * ${CRITERIA}u + k) * ${BAND}u + l]; }
  } else {
    let reach = min(${BAND}u, token % dims.length + 1u);
    for (var l = 0u; l < reach; l++) { total += dscores[((token - l) * ${CRITERIA}u + k) * ${BAND}u + l]; }
  }
  //#if ACCUMULATE
  total += dends[index];
  //#end
  dends[index] = total;
  //#end
}
