// dK and dV of attention_forward.wgsl, one thread per key, walking over the queries:
//   P = exp(score - lse);  dV = (kept ∘ P)ᵀ · dO;  dS = P ∘ (kept ∘ (dO · Vᵀ) - delta);  dK = dSᵀ · Q / sqrt(D).
// delta comes from attention_backward_query.wgsl. qkv, dqkv [B·T, 3C]; dout [B·T, C], as vec4; lse, delta [B, H, T].
@group(0) @binding(0) var<storage, read> qkv: array<$QKV_TYPE>;
@group(0) @binding(1) var<storage, read> mask: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read> dout: array<$DOUT_TYPE>;
@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read> delta: array<f32>;
@group(0) @binding(6) var<storage, read_write> dqkv: array<$DQKV_TYPE>;
@group(0) @binding(7) var<uniform> dims: Dims;
//#include "attention_common.wgsl"
//#if !BROADCAST
const TILE = 16u;
var<workgroup> tile_q: array<vec4f, ${16 * D4}>;
var<workgroup> tile_do: array<vec4f, ${16 * D4}>;
var<workgroup> tile_lse: array<f32, 16>;
var<workgroup> tile_delta: array<f32, 16>;
//#end

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let own = own_row((group.y * 32768u + group.x) * 64u + thread, dims.length, dims.batch);
  let first = own.b * dims.length;
  let head = own.head * ${D4}u;
  let pair = own.b * ${HEADS}u + own.head;
  let empty = limits[own.b] == 0u;
  let own_mask = mask[first + own.row];
  let key = (first + own.row) * ${3 * C4}u + head + ${C4}u;
  //#for i in 0..D4
  let k$i = $QKV_READ(qkv[key + ${i}u]) * dims.scale;
  let v$i = $QKV_READ(qkv[key + ${C4 + i}u]);
  var dk$i = vec4f();
  var dv$i = vec4f();
  //#end
  //#if BROADCAST
  let lane = thread % ${LANES}u;
  for (var block = 0u; block < dims.length; block += 4u) {
    let walked = pair * dims.length + min(block + (lane & 3u), dims.length - 1u);
    let walked_lse = lse[walked];
    let walked_delta = delta[walked];
    //#if DROPOUT
    // Each lane draws the block of query block + lane % 4 and its own four keys; the four lanes of a quad then swap.
    let drawn = dropout_mask(
      dropout_block(pair, min(block + (lane & 3u), dims.length - 1u), own.row / 4u, dims.length),
      dims.site, dims.threshold, dims.keep_scale);
    //#end
  //#else
  for (var base = 0u; base < dims.length; base += TILE) {
    workgroupBarrier();
    for (var e = thread; e < ${16 * D4}u; e += 64u) {
      let at = first + min(base + e / ${D4}u, dims.length - 1u);
      tile_q[e] = $QKV_READ(qkv[at * ${3 * C4}u + head + e % ${D4}u]);
      tile_do[e] = $DOUT_READ(dout[at * ${C4}u + head + e % ${D4}u]);
    }
    if (thread < TILE) {
      let at = pair * dims.length + min(base + thread, dims.length - 1u);
      tile_lse[thread] = lse[at];
      tile_delta[thread] = delta[at];
    }
    workgroupBarrier();
    for (var inner = 0u; inner < TILE; inner += 4u) {
    let block = base + inner;
    if (block >= dims.length) { break; }
  //#end
    //#for j in 0..4
    {
      //#if BROADCAST
      let row = first + min(block + ${j}u, dims.length - 1u);
      //#for g in 0..CHUNKS
      let q_$g = $QKV_READ(qkv[row * ${3 * C4}u + head + min(${g * LANES}u + lane, ${D4 - 1}u)]);
      let do_$g = $DOUT_READ(dout[row * ${C4}u + head + min(${g * LANES}u + lane, ${D4 - 1}u)]);
      //#end
      //#for i in 0..D4
      let q$i = subgroupBroadcast(q_${i / LANES}, ${i % LANES}u);
      let do$i = subgroupBroadcast(do_${i / LANES}, ${i % LANES}u);
      //#end
      let row_lse = subgroupBroadcast(walked_lse, ${j}u);
      let row_delta = subgroupBroadcast(walked_delta, ${j}u);
      //#if DROPOUT
      let kept = subgroupShuffle(drawn, (lane & ~3u) | ${j}u)[own.row & 3u];
      //#end
      //#else
      //#for i in 0..D4
      let q$i = tile_q[(inner + ${j}u) * ${D4}u + ${i}u];
      let do$i = tile_do[(inner + ${j}u) * ${D4}u + ${i}u];
      //#end
      let row_lse = tile_lse[inner + ${j}u];
      let row_delta = tile_delta[inner + ${j}u];
      //#if DROPOUT
      let kept = dropout_mask(
        dropout_block(pair, min(block + ${j}u, dims.length - 1u), own.row / 4u, dims.length),
        dims.site, dims.threshold, dims.keep_scale)[own.row & 3u];
      //#end
      //#end
      //#if !DROPOUT
      let kept = 1.0;
      //#end
      var score = 0.0;
      var dp = 0.0;
      //#for i in 0..D4
      score += dot(q$i, k$i);
      dp += dot(do$i, v$i);
      //#end
      let p = select(0.0, exp_negative(min(masked_score(score, own_mask, empty) - row_lse, 0.0)), block + ${j}u < dims.length);
      let weight = p * kept;
      let ds = p * (dp * kept - row_delta) * dims.scale;
      //#for i in 0..D4
      dv$i += weight * do$i;
      dk$i += ds * q$i;
      //#end
    }
    //#end
  }
  //#if !BROADCAST
  }
  //#end
  if (!own.inside) { return; }
  //#for i in 0..D4
  dqkv[key + ${i}u] = $DQKV_WRITE(dk$i);
  dqkv[key + ${C4 + i}u] = $DQKV_WRITE(dv$i);
  //#end
}
