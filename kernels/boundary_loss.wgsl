// Span cross-entropy and its derivative: for every text, criterion and boundary (start, end) the softmax over the text's
// tokens against the gold boundaries, which share the probability evenly; token 0 ([CLS]) where there is no span:
//   loss = w · (log Σ e^z - mean z[gold]) / 2;  dlogits = w · (softmax(z) - share(gold)) / 2;  w = weight · step.span_scale;
// as `torch.nn.functional.cross_entropy` with masked logits at -inf and the shares as class probabilities.
// logits, dlogits [B, T, 2K]: column 2k is the start and 2k + 1 the end of criterion k. gold [B, T, K] tags; limits [B]
// tokens of each text; weight [B, K]; items [B, K, 2]. One row (b, k, boundary) per LANES threads.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> gold: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<storage, read_write> items: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;
//#include "step.wgsl"
//#include "row_reduce.wgsl"
//#include "span_targets.wgsl"

const WIDTH = ${2 * CRITERIA}u;
const LOWEST = -3.0e38;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let index = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let inside = index < dims.batch * WIDTH;
  let row = min(index, dims.batch * WIDTH - 1u);
  let b = row / WIDTH;
  let column = row % WIDTH;
  let k = column / 2u;
  let is_end = (column & 1u) == 1u;
  let w = 0.5 * weight[row / 2u] * step.span_scale;
  let first = b * dims.length;
  let tokens = select(limits[b], 0u, w == 0.0);
  var highest = LOWEST;
  var count = 0.0;
  for (var t = lane; t < tokens; t += ${LANES}u) {
    highest = max(highest, logits[(first + t) * WIDTH + column]);
    count += select(0.0, 1.0, select(tag_at(first, t, k) == 1u, ends_at(first, t, k, tokens), is_end));
  }
  highest = row_max(highest, lane);
  count = row_sum(count, lane);
  let share = 1.0 / max(count, 1.0);
  // The gold logits' distance from the highest: sums of small numbers keep their digits.
  var total = 0.0;
  var below = 0.0;
  for (var t = lane; t < tokens; t += ${LANES}u) {
    let z = logits[(first + t) * WIDTH + column] - highest;
    total += exp(z);
    let boundary = select(tag_at(first, t, k) == 1u, ends_at(first, t, k, tokens), is_end) || (count == 0.0 && t == 0u);
    below -= select(0.0, z, boundary);
  }
  total = row_sum(total, lane);
  below = row_sum(below, lane);
  if (!inside) { return; }
  for (var t = lane; t < dims.length; t += ${LANES}u) {
    let at = (first + t) * WIDTH + column;
    var derivative = 0.0;
    if (t < tokens) {
      let boundary = select(tag_at(first, t, k) == 1u, ends_at(first, t, k, tokens), is_end) || (count == 0.0 && t == 0u);
      derivative = w * (exp(logits[at] - highest) / total - select(0.0, share, boundary));
    }
    dlogits[at] = derivative;
  }
  if (lane == 0u) { items[row] = select(w * (log(total) + share * below), 0.0, tokens == 0u); }
}
