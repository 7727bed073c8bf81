// Binary cross-entropy over the sentences of a text and its derivative: a sentence is positive for a criterion where one of its
// tokens is evidence. As `torch.nn.functional.binary_cross_entropy_with_logits`, the mean over a text's sentences:
//   loss = w / n · (softplus(z) - z·y);  dlogits = w / n · (sigmoid(z) - y);  w = weight[b, k] · step.span_scale
// logits, dlogits, items [B, S, K]; segments [B, T] the sentence of each token, contiguous and ascending, 0xffffffff for none;
// gold [B, T, K] tags; weight [B, K]; n the sentences of the text, those past S left out.
struct Dims { batch: u32, length: u32, sentences: u32 }
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> segments: array<u32>;
@group(0) @binding(2) var<storage, read> gold: array<u32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<storage, read_write> items: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;
//#include "step.wgsl"
//#include "log1p_unit.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.batch * dims.sentences * ${CRITERIA}u) { return; }
  let k = index % ${CRITERIA}u;
  let s = (index / ${CRITERIA}u) % dims.sentences;
  let b = index / (dims.sentences * ${CRITERIA}u);
  let w = weight[b * ${CRITERIA}u + k] * step.span_scale;
  var count = 0u;
  var present = false;
  var y = 0.0;
  if (w != 0.0) {
    for (var t = b * dims.length; t < (b + 1u) * dims.length; t++) {
      let segment = segments[t];
      if (segment >= dims.sentences) { continue; }
      count = max(count, segment + 1u);
      if (segment == s) {
        present = true;
        if (gold[t * ${CRITERIA}u + k] != 0u) { y = 1.0; }
      }
    }
  }
  if (!present) {
    items[index] = 0.0;
    dlogits[index] = 0.0;
    return;
  }
  let scale = w / f32(count);
  let z = logits[index];
  let small = exp(-abs(z));
  items[index] = scale * (max(z, 0.0) - z * y + log1p_unit(small));
  dlogits[index] = scale * (select(small, 1.0, z >= 0.0) / (1.0 + small) - y);
}
