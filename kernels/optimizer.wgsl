// One optimizer step over a run of parameters with one learning-rate scale and one weight decay, term by term as PyTorch:
//   ADAMW (Loshchilov & Hutter 2019, torch.optim.AdamW): p ← p·(1 - lr·wd), then as ADAM with wd = 0
//   ADAM (Kingma & Ba 2015, torch.optim.Adam): g ← g + wd·p;  m ← m + (1 - β1)(g - m);  v ← β2·v + (1 - β2)·g²;
//     p ← p - lr / (1 - β1^t) · m / (sqrt(v) / sqrt(1 - β2^t) + ε)
//   SGD (torch.optim.SGD): g ← g + wd·p;  m ← β1·m + g;  p ← p - lr·m
//   LION (Chen et al. 2023, arXiv:2302.06675): p ← p·(1 - lr·wd) - lr·sign(m + (1 - β1)(g - m));  m ← m + (1 - β2)(g - m)
// EMA: shadow ← shadow + (1 - decay)·(p - shadow), after the step.
// g is clipped by control[0] (clip_decide.wgsl) and set to zero for the next step; control[1] = 0 skips the update.
// p, g, m, v, shadow [4 · count] as vec4; v for ADAM and ADAMW only.
struct Dims {
  count: u32, learning_rate_scale: f32, weight_decay: f32, beta1: f32, beta2: f32, epsilon: f32, one_minus_beta1: f32,
  one_minus_beta2: f32, one_minus_ema: f32,
}
@group(0) @binding(0) var<storage, read_write> p: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> g: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(3) var<storage, read> control: array<f32>;
@group(0) @binding(4) var<uniform> dims: Dims;
//#if ADAM || ADAMW
@group(0) @binding(5) var<storage, read_write> v: array<vec4f>;
//#end
//#if EMA
@group(0) @binding(6) var<storage, read_write> shadow: array<vec4f>;
//#end
//#include "step.wgsl"

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let first = (group.y * 32768u + group.x) * 256u + thread * 4u;
  let clip = control[0];
  let update = control[1] != 0.0;
  let rate = step.learning_rate * dims.learning_rate_scale;
  let decay = 1.0 - rate * dims.weight_decay;
  //#if ADAM || ADAMW
  let step_size = rate / step.bias_correction_1;
  let root = sqrt(step.bias_correction_2);
  //#end
  //#for i in 0..4
  if (first + ${i}u < dims.count) {
    let at = first + ${i}u;
    if (update) {
      var gradient = g[at] * clip;
      //#if ADAM || SGD
      gradient += dims.weight_decay * p[at];
      //#end
      //#if ADAM || ADAMW
      let mean = m[at] + dims.one_minus_beta1 * (gradient - m[at]);
      let square = dims.beta2 * v[at] + dims.one_minus_beta2 * gradient * gradient;
      m[at] = mean;
      v[at] = square;
      let change = step_size * mean / (sqrt(square) / root + dims.epsilon);
      //#end
      //#if ADAMW
      let next = p[at] * decay - change;
      //#end
      //#if ADAM
      let next = p[at] - change;
      //#end
      //#if SGD
      let velocity = dims.beta1 * m[at] + gradient;
      m[at] = velocity;
      let next = p[at] - rate * velocity;
      //#end
      //#if LION
      let next = p[at] * decay - rate * sign(m[at] + dims.one_minus_beta1 * (gradient - m[at]));
      m[at] += dims.one_minus_beta2 * (gradient - m[at]);
      //#end
      p[at] = next;
      //#if EMA
      shadow[at] += dims.one_minus_ema * (next - shadow[at]);
      //#end
    }
    g[at] = vec4f();
  }
  //#end
}
