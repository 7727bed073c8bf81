// scale = ε / ‖g‖₂ of the fast gradient method (Miyato, Dai & Goodfellow 2017, arXiv:1605.07725): what the gradient of the
// word embeddings is multiplied by to become their perturbation. 0, which perturbs nothing, where the norm is 0 or not
// finite. partial [count]: sums of squares (sum_squares.wgsl), added in their order; scale [1].
struct Dims { count: u32, epsilon: f32 }
@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> scale: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(1)
fn main() {
  var sum = 0.0;
  for (var i = 0u; i < dims.count; i++) { sum += partial[i]; }
  // Infinity and NaN have all exponent bits set; compilers may fold x == x.
  let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
  var factor = 0.0;
  if (finite && sum > 0.0) { factor = dims.epsilon / sqrt(sum); }
  scale[0] = factor;
}
