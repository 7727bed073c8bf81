// Negative log-likelihood of a linear-chain CRF and all its derivatives (Lafferty, McCallum & Pereira 2001), by the exact
// forward-backward recursion (Rabiner 1989), one thread per sequence; as `-torchcrf.CRF(3, batch_first=True)(…)`:
//   loss = w · (log Z - score(tags));  d emission = w · (P(tag at t) - [tag = gold]);
//   d transition = w · (Σ_t P(i at t - 1, j at t) - [gold moves from i to j]);  w = weight[b, k] · step.span_scale.
// Forward and backward variables are kept as normalised log-probabilities, and each step's share of log Z is reduced by the
// gold score of that step before it is added: no sum grows with the length, and no digits go with it. log α waits in
// demissions until the way back; a step's normaliser follows from Σ αβ = 1.
// gold [B, T, K] tags; limits [B] tokens of each text; weight [B, K]; demissions [B, T, 3K]; dcrf [B, K, 15]: per text,
// added up over texts by column_sum.wgsl; items [B, K].
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> emissions: array<f32>;
@group(0) @binding(1) var<storage, read> crf: array<f32>;
@group(0) @binding(2) var<storage, read> gold: array<u32>;
@group(0) @binding(3) var<storage, read> limits: array<u32>;
@group(0) @binding(4) var<storage, read> weight: array<f32>;
@group(0) @binding(5) var<storage, read_write> demissions: array<f32>;
@group(0) @binding(6) var<storage, read_write> dcrf: array<f32>;
@group(0) @binding(7) var<storage, read_write> items: array<f32>;
@group(0) @binding(8) var<uniform> dims: Dims;
//#include "step.wgsl"
//#include "crf_common.wgsl"

fn one_hot(tag: u32) -> vec3f { return select(vec3f(), vec3f(1.0), vec3u(0u, 1u, 2u) == vec3u(tag)); }

fn store_emission(b: u32, t: u32, k: u32, value: vec3f) {
  let at = (b * dims.length + t) * ${3 * CRITERIA}u + 3u * k;
  demissions[at] = value.x;
  demissions[at + 1u] = value.y;
  demissions[at + 2u] = value.z;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let sequence = group.x * 64u + thread;
  let sequences = dims.batch * ${CRITERIA}u;
  if (sequence >= sequences) { return; }
  let b = sequence / ${CRITERIA}u;
  let k = sequence % ${CRITERIA}u;
  let w = weight[sequence] * step.span_scale;
  let tokens = select(limits[b], 0u, w == 0.0);
  for (var t = tokens; t < dims.length; t++) { store_emission(b, t, k, vec3f()); }
  if (tokens == 0u) {
    items[sequence] = 0.0;
    for (var i = 0u; i < 15u; i++) { dcrf[15u * sequence + i] = 0.0; }
    return;
  }
  let from_o = crf_at(k, 0u);
  let from_b = crf_at(k, 3u);
  let from_i = crf_at(k, 6u);
  let start = crf_at(k, 9u);
  let end = crf_at(k, 12u);

  // Forward: log α of each token, normalised.
  var tag = gold[b * dims.length * ${CRITERIA}u + k];
  var scores = start + emission(b, 0u, k);
  var norm = log_sum_exp(scores);
  var alpha = scores - norm;
  store_emission(b, 0u, k, alpha);
  var loss = norm - scores[tag];
  for (var t = 1u; t < tokens; t++) {
    let e = emission(b, t, k);
    scores = e + vec3f(
      log_sum_exp(alpha + vec3f(from_o.x, from_b.x, from_i.x)),
      log_sum_exp(alpha + vec3f(from_o.y, from_b.y, from_i.y)),
      log_sum_exp(alpha + vec3f(from_o.z, from_b.z, from_i.z)));
    norm = log_sum_exp(scores);
    alpha = scores - norm;
    store_emission(b, t, k, alpha);
    let next = gold[(b * dims.length + t) * ${CRITERIA}u + k];
    loss += norm - (e[next] + crf[15u * k + 3u * tag + next]);
    tag = next;
  }
  let total = log_sum_exp(alpha + end);
  loss += total - end[tag];
  items[sequence] = w * loss;

  // Backward: log β, and the marginals as they come.
  var beta = end - total;
  var marginal = exp(alpha + beta);
  let at_end = w * (marginal - one_hot(tag));
  var pairs_o = vec3f();
  var pairs_b = vec3f();
  var pairs_i = vec3f();
  for (var t = tokens - 1u; t > 0u; t--) {
    store_emission(b, t, k, w * (marginal - one_hot(tag)));
    let after = emission(b, t, k) + beta;
    let at = (b * dims.length + t - 1u) * ${3 * CRITERIA}u + 3u * k;
    let before = vec3f(demissions[at], demissions[at + 1u], demissions[at + 2u]);
    beta = vec3f(log_sum_exp(from_o + after), log_sum_exp(from_b + after), log_sum_exp(from_i + after));
    let scale = log_sum_exp(before + beta);
    beta -= scale;
    let previous = gold[(b * dims.length + t - 1u) * ${CRITERIA}u + k];
    let moved = one_hot(tag);
    pairs_o += exp(before.x + from_o + after - scale) - select(vec3f(), moved, previous == 0u);
    pairs_b += exp(before.y + from_b + after - scale) - select(vec3f(), moved, previous == 1u);
    pairs_i += exp(before.z + from_i + after - scale) - select(vec3f(), moved, previous == 2u);
    marginal = exp(before + beta);
    tag = previous;
  }
  let at_start = w * (marginal - one_hot(tag));
  store_emission(b, 0u, k, at_start);
  for (var i = 0u; i < 3u; i++) {
    dcrf[15u * sequence + i] = w * pairs_o[i];
    dcrf[15u * sequence + 3u + i] = w * pairs_b[i];
    dcrf[15u * sequence + 6u + i] = w * pairs_i[i];
    dcrf[15u * sequence + 9u + i] = at_start[i];
    dcrf[15u * sequence + 12u + i] = at_end[i];
  }
}
