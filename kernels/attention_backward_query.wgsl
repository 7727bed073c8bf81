// dQ of attention_forward.wgsl, one thread per query (FlashAttention-2's backward, split in two kernels so that no
// float atomics are needed and the order of every sum is fixed):
//   delta[q] = Σ dO ∘ O;  P = exp(score - lse);  dP = kept ∘ (dO · Vᵀ);  dS = P ∘ (dP - delta);  dQ = dS · K / sqrt(D).
// delta [B, H, T] is written for attention_backward_key.wgsl. qkv, dqkv [B·T, 3C]; out, dout [B·T, C], all as vec4.
@group(0) @binding(0) var<storage, read> qkv: array<$QKV_TYPE>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read> out: array<$OUT_TYPE>;
@group(0) @binding(4) var<storage, read> dout: array<$DOUT_TYPE>;
@group(0) @binding(5) var<storage, read> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read_write> dqkv: array<$DQKV_TYPE>;
@group(0) @binding(8) var<uniform> dims: Dims;
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
  let output = (first + own.row) * ${C4}u + head;
  var own_delta = 0.0;
  //#for i in 0..D4
  let q$i = $QKV_READ(qkv[query + ${i}u]) * dims.scale;
  let do$i = $DOUT_READ(dout[output + ${i}u]);
  own_delta += dot(do$i, $OUT_READ(out[output + ${i}u]));
  var dq$i = vec4f();
  //#end
  let own_lse = lse[pair * dims.length + own.row];
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
    //#if DROPOUT
    let kept = dropout_mask(dropout_block(pair, own.row, block / 4u, dims.length), dims.site, dims.threshold, dims.keep_scale);
    //#else
    let kept = vec4f(1.0);
    //#end
    //#for j in 0..4
    {
      //#if BROADCAST
      let row = (first + min(block + ${j}u, dims.length - 1u)) * ${3 * C4}u + head;
      //#for g in 0..CHUNKS
      let k_$g = $QKV_READ(qkv[row + ${C4}u + min(${g * LANES}u + lane, ${D4 - 1}u)]);
      let v_$g = $QKV_READ(qkv[row + ${2 * C4}u + min(${g * LANES}u + lane, ${D4 - 1}u)]);
      //#end
      //#for i in 0..D4
      let k$i = subgroupBroadcast(k_${i / LANES}, ${i % LANES}u);
      let v$i = subgroupBroadcast(v_${i / LANES}, ${i % LANES}u);
      //#end
      let key_valid = subgroupBroadcast(key_mask, ${j}u);
      //#else
      //#for i in 0..D4
      let k$i = tile_k[(inner + ${j}u) * ${D4}u + ${i}u];
      let v$i = tile_v[(inner + ${j}u) * ${D4}u + ${i}u];
      //#end
      let key_valid = tile_mask[inner + ${j}u];
      //#end
      var score = 0.0;
      var dp = 0.0;
      //#for i in 0..D4
      score += dot(q$i, k$i);
      dp += dot(do$i, v$i);
      //#end
      let p = select(0.0, exp_negative(min(masked_score(score, key_valid, empty) - own_lse, 0.0)), block + ${j}u < dims.length);
      let ds = p * (dp * kept[$j] - own_delta) * dims.scale;
      //#for i in 0..D4
      dq$i += ds * k$i;
      //#end
    }
    //#end
  }
  //#if !BROADCAST
  }
  //#end
  if (!own.inside) { return; }
  //#for i in 0..D4
  dqkv[query + ${i}u] = $DQKV_WRITE(dq$i);
  //#end
  delta[pair * dims.length + own.row] = own_delta;
}
