// What the kernels of the linear-chain CRF share; an include. States are the tags O = 0, B = 1, I = 2 of one criterion.
// One thread per sequence (text b, criterion k). crf [K, 15]: what `torchcrf.CRF` calls transitions, [3, 3] from row to
// column, then start_transitions and end_transitions; emissions [B, T, 3K], column 3k + tag.
//#include "log1p_unit.wgsl"

// log Σ e^v. The sum lies in [1, 3]: halved where that keeps log1p's argument small.
fn log_sum_exp(v: vec3f) -> f32 {
  let highest = max(v.x, max(v.y, v.z));
  let e = exp(v - highest);
  // The largest term is exactly 1: summing the other two keeps their digits.
  let u = e.x + e.y + e.z - 1.0;
  let halved = 0.5 * u - 0.5;
  return highest + select(log1p_unit(u), 0.6931471805599453 + log1p_unit(halved), u > 0.5);
}

fn emission(b: u32, t: u32, k: u32) -> vec3f {
  let at = (b * dims.length + t) * ${3 * CRITERIA}u + 3u * k;
  return vec3f(emissions[at], emissions[at + 1u], emissions[at + 2u]);
}

fn crf_at(k: u32, first: u32) -> vec3f {
  let at = 15u * k + first;
  return vec3f(crf[at], crf[at + 1u], crf[at + 2u]);
}
