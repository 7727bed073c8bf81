// out = softmax(Q·Kᵀ / sqrt(D) + mask) · V per head, with dropout on the probabilities, in one pass over the keys:
// FlashAttention's online softmax (Dao et al. 2022), so no T×T tensor exists. Saved for the backward pass:
// lse [B, H, T] = log Σ exp(score).
// mask [B, T]: 1 for a key to attend to; limits [B]: 1 + the last such key, 0 when there is none.
// out [B·T, C] as vec4. See attention_common.wgsl for the layout of qkv and the two variants.
@group(0) @binding(0) var<storage, read> qkv: array<$QKV_TYPE>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<$OUT_TYPE>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<uniform> dims: Dims;
//#include "attention_common.wgsl"
//#if !BROADCAST
const TILE = 16u;
var<workgroup> tile_k: array<vec4f, ${16 * D4}>;
var<workgroup> tile_v: array<vec4f, ${16 * D4}>;
var<workgroup> tile_mask: array<u32, 16>;
var<workgroup> shared_limit: u32;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let own = own_row((group.y * 32768u + group.x) * 64u + thread, dims.length, dims.batch);
  let first = own.b * dims.length;
  let head = own.head * ${D4}u;
  let pair = own.b * ${HEADS}u + own.head;
  let empty = limits[own.b] == 0u;
  //#if BROADCAST
  let lane = thread % ${LANES}u;
  let limit = select(limits[own.b], dims.length, empty);
  //#else
  if (thread == 0u) { shared_limit = select(limits[own.b], dims.length, empty); }
  let limit = workgroupUniformLoad(&shared_limit);
  //#end
  let query = (first + own.row) * ${3 * C4}u + head;
  //#for i in 0..D4
  let q$i = $QKV_READ(qkv[query + ${i}u]) * dims.scale;
  var o$i = vec4f();
  //#end
  var highest = MASKED;
  var total = 0.0;
  //#if !BROADCAST
  for (var base = 0u; base < limit; base += TILE) {
    workgroupBarrier();
    for (var e = thread; e < ${16 * D4}u; e += 64u) {
      let at = (first + min(base + e / ${D4}u, dims.length - 1u)) * ${3 * C4}u + head + e % ${D4}u;
      tile_k[e] = $QKV_READ(qkv[at + ${C4}u]);
      tile_v[e] = $QKV_READ(qkv[at + ${2 * C4}u]);
    }
    if (thread < TILE) { tile_mask[thread] = mask[first + min(base + thread, dims.length - 1u)]; }
    workgroupBarrier();
    for (var inner = 0u; inner < TILE; inner += 4u) {
    let block = base + inner;
    if (block >= limit) { break; }
  //#else
  for (var block = 0u; block < limit; block += 4u) {
    let key_mask = mask[first + min(block + (lane & 3u), dims.length - 1u)];
  //#end
    //#for j in 0..4
    //#if BROADCAST
    let row$j = (first + min(block + ${j}u, dims.length - 1u)) * ${3 * C4}u + head;
    //#for g in 0..CHUNKS
    let k${j}_$g = $QKV_READ(qkv[row$j + ${C4}u + min(${g * LANES}u + lane, ${D4 - 1}u)]);
    let v${j}_$g = $QKV_READ(qkv[row$j + ${2 * C4}u + min(${g * LANES}u + lane, ${D4 - 1}u)]);
    //#end
    //#end
    var dot$j = 0.0;
    //#for i in 0..D4
    //#if BROADCAST
    dot$j += dot(q$i, subgroupBroadcast(k${j}_${i / LANES}, ${i % LANES}u));
    //#else
    dot$j += dot(q$i, tile_k[(inner + ${j}u) * ${D4}u + ${i}u]);
    //#end
    //#end
    //#if BROADCAST
    let s$j = masked_score(dot$j, subgroupBroadcast(key_mask, ${j}u), empty);
    //#else
    let s$j = masked_score(dot$j, tile_mask[inner + ${j}u], empty);
    //#end
    //#end
    let newest = max(highest, max(max(s0, s1), max(s2, s3)));
    let rescale = exp_negative(highest - newest);
    highest = newest;
    //#for j in 0..4
    let p$j = select(0.0, exp_negative(s$j - newest), block + ${j}u < dims.length);
    //#end
    total = total * rescale + ((p0 + p1) + (p2 + p3));
    //#if DROPOUT
    let kept = dropout_mask(dropout_block(pair, own.row, block / 4u, dims.length), dims.site, dims.threshold, dims.keep_scale);
    //#else
    let kept = vec4f(1.0);
    //#end
    let weight = vec4f(p0, p1, p2, p3) * kept;
    //#for i in 0..D4
    //#if BROADCAST
    o$i = o$i * rescale + weight.x * subgroupBroadcast(v0_${i / LANES}, ${i % LANES}u)
      + weight.y * subgroupBroadcast(v1_${i / LANES}, ${i % LANES}u)
      + weight.z * subgroupBroadcast(v2_${i / LANES}, ${i % LANES}u)
      + weight.w * subgroupBroadcast(v3_${i / LANES}, ${i % LANES}u);
    //#else
    o$i = o$i * rescale + weight.x * tile_v[inner * ${D4}u + ${i}u]
      + weight.y * tile_v[(inner + 1u) * ${D4}u + ${i}u]
      + weight.z * tile_v[(inner + 2u) * ${D4}u + ${i}u]
      + weight.w * tile_v[(inner + 3u) * ${D4}u + ${i}u];
    //#end
    //#end
  }
  //#if !BROADCAST
  }
  //#end
  if (!own.inside) { return; }
  let target_row = (first + own.row) * ${C4}u + head;
  //#for i in 0..D4
  out[target_row + ${i}u] = $OUT_WRITE(o$i / total);
  //#end
  lse[pair * dims.length + own.row] = highest + log(total);
}
