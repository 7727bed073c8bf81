// Binary cross-entropy with logits and its derivative in one pass, as `torch.nn.functional.binary_cross_entropy_with_logits`:
//   loss = w · (max(z, 0) - z·y + log(1 + e^-|z|));  dlogits = w · (sigmoid(z) - y);  w = row weight · step.criteria_scale.
// logits, labels, dlogits, items [B, K]; weight [B]: 0 for filler rows. items are summed by loss_record.wgsl.
struct Dims { count: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<f32>;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(4) var<storage, read_write> items: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#include "step.wgsl"

// log(1 + u) for 0 <= u <= 1 by the series of 2·atanh(u / (2 + u)): the driver's log loses all digits near 1.
fn log1p_unit(u: f32) -> f32 {
  let s = u / (2.0 + u);
  let q = s * s;
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0
    + q * (1.0 / 13.0)))))));
}

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
  let y = labels[index];
  let small = exp(-abs(z));
  let sigmoid = select(small, 1.0, z >= 0.0) / (1.0 + small);
  items[index] = w * (max(z, 0.0) - z * y + log1p_unit(small));
  dlogits[index] = w * (sigmoid - y);
}
