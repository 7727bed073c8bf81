// y (+)= f(a, b, z, d) element by element, on flat tensors of `count` T; T is vec4f where the number of elements is a
// multiple of 4, else f32. Flag ACCUMULATE adds to what y holds.
//   FUNCTION 0  a + b                          1  a ∘ b                      2  factor · a
//            3  σ(z)∘a + σ(-z)∘b, a gate       4  σ(z)∘a, its da of a = dy   5  σ(-z)∘a, its db of a = dy
//            6  d ∘ (a - b) ∘ σ'(z), its dz of d = dy
//#if FUNCTION == 2
struct Dims { count: u32, factor: f32 }
//#else
struct Dims { count: u32 }
//#end
@group(0) @binding(0) var<storage, read> a: array<$T>;
@group(0) @binding(1) var<storage, read_write> y: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#if FUNCTION < 2 || FUNCTION == 3 || FUNCTION == 6
@group(0) @binding(3) var<storage, read> b: array<$T>;
//#end
//#if FUNCTION > 2
@group(0) @binding(4) var<storage, read> z: array<$T>;
//#include "sigmoid.wgsl"
//#end
//#if FUNCTION == 6
@group(0) @binding(5) var<storage, read> d: array<$T>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  //#if FUNCTION == 0
  let result = a[index] + b[index];
  //#end
  //#if FUNCTION == 1
  let result = a[index] * b[index];
  //#end
  //#if FUNCTION == 2
  let result = dims.factor * a[index];
  //#end
  //#if FUNCTION == 3
  let result = sigmoid(z[index]) * a[index] + sigmoid(-z[index]) * b[index];
  //#end
  //#if FUNCTION == 4
  let result = sigmoid(z[index]) * a[index];
  //#end
  //#if FUNCTION == 5
  let result = sigmoid(-z[index]) * a[index];
  //#end
  //#if FUNCTION == 6
  let result = d[index] * (a[index] - b[index]) * sigmoid_derivative(z[index]);
  //#end
  //#if ACCUMULATE
  y[index] += result;
  //#else
  y[index] = result;
  //#end
}
