// The criteria losses and their derivative in one pass, from one formula: binary cross-entropy, focal loss (Lin et al.
// 2017, arXiv:1708.02002), their sum, and a focusing factor per class (Li et al. 2022, "Equalized Focal Loss",
// arXiv:2201.02593). With p = sigmoid(z), t = y·(1 - smoothing) + smoothing / 2:
//   L(γ) = v·t·(1 - p)^γ·(-log p) + (1 - t)·p^γ·(-log(1 - p));   loss = w · (α·L(0) + (1 - α)·f·L(γ))
//   w = row weight · step.criteria_scale;  v = positive_weight[k], 1 without POSITIVE_WEIGHT
//   ADAPTIVE = 0: γ = dims.gamma, f = 1.  ADAPTIVE = 1: γ = dims.gamma·(2 - confidence[k]), f = γ / dims.gamma
// All by softplus, so that ±80 neither overflows nor loses the derivative. logits, labels, dlogits, items [B, K];
// weight [B]: 0 for filler rows; positive_weight [K]; confidence [3K], see confidence_update.wgsl.
struct Dims { count: u32, alpha: f32, gamma: f32, smoothing: f32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(4) var<storage, read_write> items: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#if POSITIVE_WEIGHT
@group(0) @binding(6) var<storage, read> positive_weight: array<f32>;
//#end
//#if ADAPTIVE
@group(0) @binding(7) var<storage, read> confidence: array<f32>;
//#end
//#include "step.wgsl"
//#include "log1p_unit.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = group.x * 64u + thread;
  if (index >= dims.count) { return; }
  let w = weight[index / ${CRITERIA}u] * step.criteria_scale;
  // A filler row's logits may be anything; 0 · NaN must not reach the loss.
  if (w == 0.0) {
    dlogits[index] = 0.0;
    items[index] = 0.0;
    return;
  }
  let z = logits[index];
  let small = exp(-abs(z));
  let p = select(small, 1.0, z >= 0.0) / (1.0 + small);
  let q = select(1.0, small, z >= 0.0) / (1.0 + small); //         1 - p
  let rest = log1p_unit(small);
  let log_p = max(-z, 0.0) + rest; //                              -log p
  let log_q = max(z, 0.0) + rest; //                               -log(1 - p)
  let target_value = labels[index] * (1.0 - dims.smoothing) + 0.5 * dims.smoothing;
  var positive = target_value;
  //#if POSITIVE_WEIGHT
  positive *= positive_weight[index % ${CRITERIA}u];
  //#end
  let negative = 1.0 - target_value;
  var gamma = dims.gamma;
  var focal = 1.0 - dims.alpha;
  //#if ADAPTIVE
  let excess = 2.0 - confidence[index % ${CRITERIA}u];
  gamma *= excess;
  focal *= excess;
  //#end
  let to_positive = focal * exp(-gamma * log_q); //                f·(1 - p)^γ
  let to_negative = focal * exp(-gamma * log_p); //                f·p^γ
  items[index] = w * (positive * (dims.alpha + to_positive) * log_p + negative * (dims.alpha + to_negative) * log_q);
  dlogits[index] = w * (negative * (dims.alpha * p + to_negative * (p + gamma * q * log_q)) -
    positive * (dims.alpha * q + to_positive * (q + gamma * p * log_p)));
}
