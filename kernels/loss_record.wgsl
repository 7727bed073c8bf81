// ring[slot] = (Σ criteria items, Σ span items): the losses of a micro-batch, summed in a fixed order and left on the
// GPU until the host reads many at once.
// criteria [criteria_count], span [span_count]; ring [slots, 8]: criteria, span, norm, clip, skipped, loss scale, 2 unused.
struct Dims { criteria_count: u32, span_count: u32 }
@group(0) @binding(0) var<storage, read> criteria: array<f32>;
@group(0) @binding(1) var<storage, read> span: array<f32>;
@group(0) @binding(2) var<storage, read_write> ring: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#include "step.wgsl"
var<workgroup> partial: array<vec2f, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  var total = vec2f();
  for (var i = thread; i < dims.criteria_count; i += 64u) { total.x += criteria[i]; }
  for (var i = thread; i < dims.span_count; i += 64u) { total.y += span[i]; }
  partial[thread] = total;
  workgroupBarrier();
  if (thread != 0u) { return; }
  var sum = vec2f();
  for (var i = 0u; i < 64u; i++) { sum += partial[i]; }
  ring[step.slot * 8u] = sum.x;
  ring[step.slot * 8u + 1u] = sum.y;
}
