// y (+)= f(x) element by element, four at a time, on flat tensors of 4 · COUNT elements (rounded up: tensors are padded
// to 256 bytes).
// FUNCTION 0 copy, 1 dropout (mask ∘ x; its own derivative), 2 tanh, 3 dtanh: x · (1 - saved²), 4 sigmoid,
// 5 activate, 6 its derivative: x · activate'(saved).
// X_TYPE, X_READ, … : how x, y and saved are stored, see half.wgsl.
// saved: the forward output (3) or input (6). Flag ACCUMULATE adds to what y holds; TAIL is then the number of elements
// of y in its last vec4, 0 for all four: what lies behind a parameter's gradient must stay 0, for the norm counts it.
struct Dims { count: u32, site: u32, threshold: u32, scale: f32 }
@group(0) @binding(0) var<storage, read> x: array<$X_TYPE>;
@group(0) @binding(1) var<storage, read_write> y: array<$Y_TYPE>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if FUNCTION == 3 || FUNCTION == 6
@group(0) @binding(3) var<storage, read> saved: array<$SAVED_TYPE>;
//#end
//#if HALF
//#include "half.wgsl"
//#end
//#if FUNCTION == 1
//#include "step.wgsl"
//#include "philox.wgsl"
//#include "dropout_mask.wgsl"
//#end
//#if FUNCTION == 2 || FUNCTION > 4
//#include "feed_forward_activation.wgsl"
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  let value = $X_READ(x[index]);
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
  let kept = $SAVED_READ(saved[index]);
  let result = value * (1.0 - kept * kept);
  //#end
  //#if FUNCTION == 4
  let small = exp(-abs(value));
  let result = select(small, vec4f(1.0), value >= vec4f()) / (1.0 + small);
  //#end
  //#if FUNCTION == 5
  let result = activate(value);
  //#end
  //#if FUNCTION == 6
  let result = value * activation_derivative($SAVED_READ(saved[index]));
  //#end
  //#if ACCUMULATE
  //#if TAIL
  let whole = index + 1u < dims.count;
  y[index] = $Y_WRITE($Y_READ(y[index]) + select(vec4f(), result, vec4<bool>(true, whole || ${TAIL > 1} != 0, whole || ${TAIL > 2} != 0, whole)));
  //#else
  y[index] = $Y_WRITE($Y_READ(y[index]) + result);
  //#end
  //#else
  y[index] = $Y_WRITE(result);
  //#end
}
