// x ← loss_scale[0] · x: the derivative of a loss, scaled before the backward pass so that gradients stored in 16 bits do
// not vanish (Micikevicius et al. 2018, "Mixed Precision Training"). clip_decide.wgsl divides it out again.
// x [count]; loss_scale [2]: the scale, and the good steps since it last changed.
struct Dims { count: u32 }
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> loss_scale: array<f32>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let index = (group.y * 32768u + group.x) * 64u + thread;
  if (index >= dims.count) { return; }
  x[index] *= loss_scale[0];
}
