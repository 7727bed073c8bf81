// The running confidence of each class, on which the focusing factor of the adaptive focal loss depends.
// confidence [3K]: the running mean c[k] of the probability that is given to the right answer, then the sum and the count
// of this step so far. FOLD = 0 (every micro-batch): adds Σ_b weight·p_t and Σ_b weight. FOLD = 1 (every optimizer step):
//   c ← c + momentum · (sum / count - c);  sum, count ← 0.
// Folding once per step makes an accumulated batch equal to the whole one. logits, labels [B, K]; weight [B].
//#if FOLD
struct Dims { momentum: f32 }
@group(0) @binding(0) var<storage, read_write> confidence: array<f32>;
@group(0) @binding(1) var<uniform> dims: Dims;
//#else
struct Dims { batch: u32 }
@group(0) @binding(0) var<storage, read_write> confidence: array<f32>;
@group(0) @binding(1) var<uniform> dims: Dims;
@group(0) @binding(2) var<storage, read> logits: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<f32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let k = group.x * 64u + thread;
  if (k >= ${CRITERIA}u) { return; }
  //#if FOLD
  let count = confidence[2u * ${CRITERIA}u + k];
  if (count > 0.0) {
    confidence[k] += dims.momentum * (confidence[${CRITERIA}u + k] / count - confidence[k]);
  }
  confidence[${CRITERIA}u + k] = 0.0;
  confidence[2u * ${CRITERIA}u + k] = 0.0;
  //#else
  var total = 0.0;
  var count = 0.0;
  for (var b = 0u; b < dims.batch; b++) {
    if (weight[b] == 0.0) { continue; }
    let z = select(-1.0, 1.0, labels[b * ${CRITERIA}u + k] > 0.5) * logits[b * ${CRITERIA}u + k];
    let small = exp(-abs(z));
    total += weight[b] * select(small, 1.0, z >= 0.0) / (1.0 + small);
    count += weight[b];
  }
  confidence[${CRITERIA}u + k] += total;
  confidence[2u * ${CRITERIA}u + k] += count;
  //#end
}
