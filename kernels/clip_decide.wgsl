// The decision of global-norm clipping, taken on the GPU so that no readback stands between backward pass and
// optimizer: norm = sqrt(Σ partial), clip = min(1, max_norm / (norm + 1e-6)) as `torch.nn.utils.clip_grad_norm_`.
// A norm that is not finite makes the optimizer skip the step and is counted.
// LOSS_SCALE: the gradient is that of the scaled loss; norm and clip are of the true one, and control[0] divides the scale
// out. An overflow halves the scale, INTERVAL good steps in a row double it, between 1 and 2^24, as torch.amp.GradScaler.
// loss_scale [2]: the scale, and the good steps since it last changed.
// partial [count]; control [4]: clip, apply (1 or 0), norm, skipped steps so far; ring [slots, 8], see loss_record.wgsl.
struct Dims { count: u32, max_norm: f32, interval: f32 }
@group(0) @binding(0) var<storage, read> partial: array<f32>;
@group(0) @binding(1) var<storage, read_write> control: array<f32>;
@group(0) @binding(2) var<storage, read_write> ring: array<f32>;
@group(0) @binding(3) var<uniform> dims: Dims;
//#if LOSS_SCALE
@group(0) @binding(4) var<storage, read_write> loss_scale: array<f32>;
//#end
//#include "step.wgsl"
var<workgroup> sums: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  var total = 0.0;
  for (var i = thread; i < dims.count; i += 64u) { total += partial[i]; }
  sums[thread] = total;
  workgroupBarrier();
  if (thread != 0u) { return; }
  var sum = 0.0;
  for (var i = 0u; i < 64u; i++) { sum += sums[i]; }
  //#if LOSS_SCALE
  let scale = loss_scale[0];
  //#else
  let scale = 1.0;
  //#end
  let norm = sqrt(sum) / scale;
  // Infinity and NaN have all exponent bits set; compilers may fold x == x.
  let finite = (bitcast<u32>(sum) & 0x7f800000u) != 0x7f800000u;
  let clip = select(1.0, min(1.0, dims.max_norm / (norm + 1e-6)), dims.max_norm > 0.0);
  control[0] = select(0.0, clip / scale, finite);
  control[1] = select(0.0, 1.0, finite);
  control[2] = norm;
  control[3] += select(1.0, 0.0, finite);
  ring[step.slot * 8u + 2u] = norm;
  ring[step.slot * 8u + 3u] = select(0.0, clip, finite);
  ring[step.slot * 8u + 4u] = control[3];
  ring[step.slot * 8u + 5u] = scale;
  //#if LOSS_SCALE
  let good = select(0.0, loss_scale[1] + 1.0, finite);
  let doubled = good >= dims.interval;
  loss_scale[0] = clamp(select(0.5 * scale, select(scale, 2.0 * scale, doubled), finite), 1.0, 16777216.0);
  loss_scale[1] = select(good, 0.0, doubled);
  //#end
}
