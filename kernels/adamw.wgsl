// AdamW with decoupled weight decay (Loshchilov & Hutter 2019), term by term as `torch.optim.AdamW`:
//   p ← p · (1 - lr·wd);  m ← m + (1 - β1)(g - m);  v ← β2·v + (1 - β2)·g²;
//   p ← p - lr / (1 - β1^t) · m / (sqrt(v) / sqrt(1 - β2^t) + ε).
// g is clipped by control[0] (clip_decide.wgsl) and set to zero for the next step; control[1] = 0 skips the update.
// p, g, m, v [4 · count] as vec4: a run of parameters with one learning-rate scale and one weight decay.
struct Dims {
  count: u32, learning_rate_scale: f32, weight_decay: f32, beta1: f32, beta2: f32, epsilon: f32, one_minus_beta1: f32,
  one_minus_beta2: f32,
}
@group(0) @binding(0) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(4) var<storage, read> control: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#include "step.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = (group.y * 32768u + group.x) * 256u + thread * 4u;
  let clip = control[0];
  let update = control[1] != 0.0;
  let rate = step.learning_rate * dims.learning_rate_scale;
  let decay = 1.0 - rate * dims.weight_decay;
  let step_size = rate / step.bias_correction_1;
  let root = sqrt(step.bias_correction_2);
  //#for i in 0..4
  if (first + ${i}u < dims.count) {
    let at = first + ${i}u;
    if (update) {
      let gradient = g[at] * clip;
      let mean = m[at] + dims.one_minus_beta1 * (gradient - m[at]);
      let square = dims.beta2 * v[at] + dims.one_minus_beta2 * gradient * gradient;
      m[at] = mean;
      v[at] = square;
      p[at] = p[at] * decay - step_size * mean / (sqrt(square) / root + dims.epsilon);
    }
    g[at] = vec4f();
  }
  //#end
}
