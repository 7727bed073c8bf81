// y (+)= f(x), or with DERIVATIVE y (+)= x ∘ f'(saved), element by element, as the functions of torch.nn.functional.
// f is named by ACTIVATION, a function of this file or of sigmoid.wgsl; f' is `ACTIVATION_derivative`.
// x, y, saved: flat tensors of `count` T; T is vec4f where the number of elements is a multiple of 4, else f32.
// Flag ACCUMULATE adds to what y holds. exp alone is used: the tanh and log of some drivers lose digits (see gelu.wgsl).
struct Dims { count: u32 }
@group(0) @binding(0) var<storage, read> x: array<$T>;
@group(0) @binding(1) var<storage, read_write> y: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if DERIVATIVE
@group(0) @binding(3) var<storage, read> saved: array<$T>;
//#end
//#include "sigmoid.wgsl"

// x·σ(x) (Elfwing et al., arXiv:1702.03118).
fn silu(x: $T) -> $T { return x * sigmoid(x); }
fn silu_derivative(x: $T) -> $T { return sigmoid(x) + x * sigmoid_derivative(x); }

// The comparisons let NaN through, so that a broken step is seen. The derivative at 0 is PyTorch's.
fn relu(x: $T) -> $T { return select(x, $T(0.0), x <= $T(0.0)); }
fn relu_derivative(x: $T) -> $T { return select($T(0.0), $T(1.0), x > $T(0.0)); }

fn leakyrelu(x: $T) -> $T { return select(0.01 * x, x, x > $T(0.0)); }
fn leakyrelu_derivative(x: $T) -> $T { return select($T(0.01), $T(1.0), x > $T(0.0)); }

// x·tanh(log(1 + e^x)) (Misra, arXiv:1908.08681) without a logarithm. With n = e^x the tanh is a / (a + 2), a = n·(n + 2);
// for x > 0 both are multiplied by e², e = 1 / n, so that nothing overflows.
fn mish_numerator(x: $T, e: $T) -> $T { return select(e * (e + 2.0), 1.0 + 2.0 * e, x > $T(0.0)); }
fn mish_denominator(x: $T, e: $T) -> $T {
  return mish_numerator(x, e) + select($T(2.0), 2.0 * e * e, x > $T(0.0));
}
fn mish(x: $T) -> $T {
  let e = decay(x);
  return x * (mish_numerator(x, e) / mish_denominator(x, e));
}
// tanh + x·σ(x)·(1 - tanh²), where 1 - tanh² = 4(a + 1) / (a + 2)² and σ(x) = n / (1 + n).
fn mish_derivative(x: $T) -> $T {
  let e = decay(x);
  let d = 1.0 / mish_denominator(x, e);
  let slope = 4.0 * select(e, e * e, x > $T(0.0)) * (1.0 + e) * d * d;
  return mish_numerator(x, e) * d + x * slope;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  //#if DERIVATIVE
  let result = x[index] * ${ACTIVATION}_derivative(saved[index]);
  //#else
  let result = $ACTIVATION(x[index]);
  //#end
  //#if ACCUMULATE
  y[index] += result;
  //#else
  y[index] = result;
  //#end
}
