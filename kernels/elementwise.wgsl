// y (+)= f(x) element by element, four at a time, on flat tensors of 4 · COUNT elements (rounded up: tensors are padded
// to 256 bytes).
// FUNCTION 0 copy, 1 dropout (mask ∘ x; its own derivative), 2 tanh, 3 dtanh: x · (1 - saved²), 4 sigmoid,
// 5 activate, 6 its derivative: x · activate'(saved).
// saved: the forward output (3) or input (6). Flag ACCUMULATE adds to what y holds.
struct Dims { count: u32, site: u32, threshold: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if FUNCTION == 3 || FUNCTION == 6
@group(0) @binding(3) var<storage, read> saved: array<vec4f>;
//#end
//#if FUNCTION == 1
//#include "step.wgsl"
//#include "philox.wgsl"
//#include "dropout_mask.wgsl"
//#end
//#if FUNCTION == 2 || FUNCTION > 4
//#include "activation.wgsl"
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  let value = x[index];
  //#if FUNCTION == 0
  let result = value;
  //#end
  //#if FUNCTION == 1
  let result = value * dropout_mask(index, dims.site, dims.threshold, dims.scale);
  //#end
  //#if FUNCTION == 2
  let result = gelu_tanh(value);
  //#end
  //#if FUNCTION == 3
  let result = value * (1.0 - saved[index] * saved[index]);
  //#end
  //#if FUNCTION == 4
  let small = exp(-abs(value));
  let result = select(small, vec4f(1.0), value >= vec4f()) / (1.0 + small);
  //#end
  //#if FUNCTION == 5
  let result = activate(value);
  //#end
  //#if FUNCTION == 6
  let result = value * activation_derivative(saved[index]);
  //#end
  //#if ACCUMULATE
  y[index] += result;
  //#else
  y[index] = result;
  //#end
}
