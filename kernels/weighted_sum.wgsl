// y (+)= Σ_i weights[first + i] · x_i over INPUTS tensors, on flat tensors of `count` T; T is vec4f where the number of
// elements is a multiple of 4, else f32. Flag ACCUMULATE adds to what y holds: more tensors than fit in the bindings of
// one dispatch are added group by group.
struct Dims { count: u32, first: u32 }
@group(0) @binding(0) var<storage, read_write> y: array<$T>;
@group(0) @binding(1) var<storage, read> weights: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;
//#for i in 0..INPUTS
@group(0) @binding(${i + 3}) var<storage, read> x$i: array<$T>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  //#if ACCUMULATE
  var total = y[index];
  //#else
  var total = $T();
  //#end
  //#for i in 0..INPUTS
  total += weights[dims.first + ${i}u] * x$i[index];
  //#end
  y[index] = total;
}
