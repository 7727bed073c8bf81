// Span cross-entropy and its derivative: for every text, criterion and boundary (start, end) the softmax over the
// text's tokens against the target token, as `torch.nn.functional.cross_entropy` with masked logits at -inf:
//   loss = w · (log Σ e^z - z[target]) / 2;  dlogits = w · (softmax(z) - onehot(target)) / 2;
//   w = span weight · step.span_scale.
// logits, dlogits [B, T, 2K]: column 2k is the start and 2k + 1 the end of criterion k. mask [B, T];
// start, end [B, K]; weight [B, K]; items [B, K, 2]. One row (b, k, boundary) per LANES threads.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> start: array<u32>;
@group(0) @binding(3) var<storage, read> end: array<u32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(6) var<storage, read_write> items: array<f32>;
@group(0) @binding(7) var<uniform> dims: Dims;
//#include "step.wgsl"
//#include "row_reduce.wgsl"

const WIDTH = ${2 * CRITERIA}u;
const MASKED = -3.0e38;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let lane = thread % ${LANES}u;
  let index = (group.y * 32768u + group.x) * ${64 / LANES}u + thread / ${LANES}u;
  let inside = index < dims.batch * WIDTH;
  let row = min(index, dims.batch * WIDTH - 1u);
  let b = row / WIDTH;
  let column = row % WIDTH;
  let pair = row / 2u;
  let boundary = select(start[pair], end[pair], (column & 1u) == 1u);
  let w = 0.5 * weight[pair] * step.span_scale;
  let first = b * dims.length;
  var highest = MASKED;
  for (var t = lane; t < dims.length; t += ${LANES}u) {
    if (mask[first + t] != 0u) { highest = max(highest, logits[(first + t) * WIDTH + column]); }
  }
  highest = row_max(highest, lane);
  var total = 0.0;
  for (var t = lane; t < dims.length; t += ${LANES}u) {
    if (mask[first + t] != 0u) { total += exp(logits[(first + t) * WIDTH + column] - highest); }
  }
  total = row_sum(total, lane);
  if (!inside) { return; }
  for (var t = lane; t < dims.length; t += ${LANES}u) {
    let at = (first + t) * WIDTH + column;
    var derivative = 0.0;
    if (w != 0.0 && mask[first + t] != 0u) {
      derivative = w * (exp(logits[at] - highest) / total - select(0.0, 1.0, t == boundary));
    }
    dlogits[at] = derivative;
  }
  if (lane == 0u) {
    var loss = 0.0;
    if (w != 0.0) { loss = w * (highest - logits[(first + boundary) * WIDTH + column] + log(total)); }
    items[row] = loss;
  }
}
