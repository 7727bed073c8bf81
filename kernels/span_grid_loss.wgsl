// Cross-entropy over the spans of at most BAND tokens and its derivative: for every text and criterion one softmax over all
// spans i to i + l within the text, the span of [CLS] alone (i = 0, l = 0) being "no evidence"; the gold spans share the
// probability evenly:
//   loss = w · (log Σ e^z - mean z[gold]);  dscores = w · (softmax(z) - share(gold));  w = weight · step.span_scale.
// A gold span of more than BAND tokens counts as its first BAND. scores, dscores [B, T, K, BAND]; gold [B, T, K] tags;
// limits [B] tokens of each text; weight, items [B, K]. One row (b, k) per LANES threads.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> gold: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dscores: array<f32>;
@group(0) @binding(5) var<storage, read_write> items: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;
//#include "step.wgsl"
//#include "row_reduce.wgsl"
//#include "span_targets.wgsl"

const LOWEST = -3.0e38;

// The length less one of the gold span that begins at t, or BAND where none does.
fn gold_reach(first: u32, t: u32, k: u32, tokens: u32) -> u32 {
  if (tag_at(first, t, k) != 1u) { return ${BAND}u; }
  var l = 0u;
  while (l + 1u < ${BAND}u && !ends_at(first, t + l, k, tokens)) { l++; }
  return l;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let index = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let rows = dims.batch * ${CRITERIA}u;
  let inside = index < rows;
  let row = min(index, rows - 1u);
  let b = row / ${CRITERIA}u;
  let k = row % ${CRITERIA}u;
  let w = weight[row] * step.span_scale;
  let first = b * dims.length;
  let tokens = select(limits[b], 0u, w == 0.0);
  var highest = LOWEST;
  var count = 0.0;
  for (var t = lane; t < tokens; t += ${LANES}u) {
    let at = ((first + t) * ${CRITERIA}u + k) * ${BAND}u;
    for (var l = 0u; l < min(${BAND}u, tokens - t); l++) { highest = max(highest, scores[at + l]); }
    count += select(0.0, 1.0, tag_at(first, t, k) == 1u);
  }
  highest = row_max(highest, lane);
  count = row_sum(count, lane);
  let share = 1.0 / max(count, 1.0);
  var total = 0.0;
  var below = 0.0;
  for (var t = lane; t < tokens; t += ${LANES}u) {
    let at = ((first + t) * ${CRITERIA}u + k) * ${BAND}u;
    for (var l = 0u; l < min(${BAND}u, tokens - t); l++) { total += exp(scores[at + l] - highest); }
    let reach = select(gold_reach(first, t, k, tokens), 0u, count == 0.0 && t == 0u);
    if (reach < ${BAND}u) { below += highest - scores[at + reach]; }
  }
  total = row_sum(total, lane);
  below = row_sum(below, lane);
  if (!inside) { return; }
  for (var t = lane; t < dims.length; t += ${LANES}u) {
    let at = ((first + t) * ${CRITERIA}u + k) * ${BAND}u;
    var reach = ${BAND}u;
    if (t < tokens) { reach = select(gold_reach(first, t, k, tokens), 0u, count == 0.0 && t == 0u); }
    for (var l = 0u; l < ${BAND}u; l++) {
      var derivative = 0.0;
      if (t + l < tokens) { derivative = w * (exp(scores[at + l] - highest) / total - select(0.0, share, l == reach)); }
      dscores[at + l] = derivative;
    }
  }
  if (lane == 0u) { items[row] = select(w * (log(total) + share * below), 0.0, tokens == 0u); }
}
