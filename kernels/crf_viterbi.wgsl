// The most probable tags of a linear-chain CRF (Viterbi 1967), one thread per sequence, as `torchcrf.CRF.decode`. Of equal
// scores the lower tag wins. Also by how much the best path beats the path of nothing but O, which is "no evidence".
// pointers [T, B·K]: for each tag the best tag before it, two bits each. tags [B, T, K], 0 past the text; margin [B, K].
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> emissions: array<f32>;
@group(0) @binding(1) var<storage, read> crf: array<f32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read_write> pointers: array<u32>;
@group(0) @binding(4) var<storage, read_write> tags: array<u32>;
@group(0) @binding(5) var<storage, read_write> margin: array<f32>;
@group(0) @binding(6) var<uniform> dims: Dims;
//#include "crf_common.wgsl"

fn best(v: vec3f) -> u32 {
  let low = select(0u, 1u, v.y > v.x);
  return select(low, 2u, v.z > v[low]);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let sequence = group.x * 64u + thread;
  let sequences = dims.batch * ${CRITERIA}u;
  if (sequence >= sequences) { return; }
  let b = sequence / ${CRITERIA}u;
  let k = sequence % ${CRITERIA}u;
  let tokens = limits[b];
  for (var t = tokens; t < dims.length; t++) { tags[(b * dims.length + t) * ${CRITERIA}u + k] = 0u; }
  if (tokens == 0u) {
    margin[sequence] = 0.0;
    return;
  }
  let from_o = crf_at(k, 0u);
  let from_b = crf_at(k, 3u);
  let from_i = crf_at(k, 6u);
  let start = crf_at(k, 9u);
  let end = crf_at(k, 12u);
  // Scores are kept relative to the path of nothing but O, so that none grows with the length.
  var e = emission(b, 0u, k);
  var score = start + e - (start.x + e.x);
  for (var t = 1u; t < tokens; t++) {
    let to_o = score + vec3f(from_o.x, from_b.x, from_i.x);
    let to_b = score + vec3f(from_o.y, from_b.y, from_i.y);
    let to_i = score + vec3f(from_o.z, from_b.z, from_i.z);
    let before = vec3u(best(to_o), best(to_b), best(to_i));
    pointers[t * sequences + sequence] = before.x | (before.y << 2u) | (before.z << 4u);
    e = emission(b, t, k);
    score = vec3f(to_o[before.x], to_b[before.y], to_i[before.z]) + e - (from_o.x + e.x);
  }
  score += end - end.x;
  var tag = best(score);
  margin[sequence] = score[tag];
  for (var t = tokens - 1u; t > 0u; t--) {
    tags[(b * dims.length + t) * ${CRITERIA}u + k] = tag;
    tag = (pointers[t * sequences + sequence] >> (2u * tag)) & 3u;
  }
  tags[b * dims.length * ${CRITERIA}u + k] = tag;
}
