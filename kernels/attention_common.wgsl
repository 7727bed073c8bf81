// What the three attention kernels share. Every thread owns one row of one head of one text ("own" row: a query in
// the forward and dq kernels, a key in the dk/dv kernel) and walks over the other side's rows in blocks of 4.
// BROADCAST = 1: the LANES threads of a subgroup own LANES consecutive rows; a walked row is loaded once per subgroup,
// lane i taking vec4 number i, and handed round by subgroupBroadcast: no barrier (lavapipe pays 8 loads for one).
// BROADCAST = 0: the 64 threads of a workgroup own 64 consecutive rows; walked rows are tiled through workgroup memory.
// qkv [B·T, 3C] as vec4: query, key, value side by side, head h at columns h·D, D = 4 · D4, C = 4 · C4.
// QKV_TYPE, QKV_READ, … : how qkv, dqkv, out and dout are stored, see half.wgsl.
// scale = 1 / sqrt(D); site, threshold and keep_scale are those of the dropout on the probabilities.
struct Dims { batch: u32, length: u32, scale: f32, site: u32, threshold: u32, keep_scale: f32 }
//#if HALF
//#include "half.wgsl"
//#end
//#if DROPOUT
//#include "step.wgsl"
//#include "philox.wgsl"
//#include "dropout_mask.wgsl"
//#end
//#if BROADCAST
const OWN_ROWS = ${LANES}u;
//#else
const OWN_ROWS = 64u;
//#end
const MASKED = -3.0e38;

struct Own { b: u32, head: u32, row: u32, inside: bool }

// Threads are numbered over (text, head, tile of own rows, lane).
fn own_row(index: u32, length: u32, batch: u32) -> Own {
  let tiles = (length + OWN_ROWS - 1u) / OWN_ROWS;
  let tile = index / OWN_ROWS;
  let pair = tile / tiles;
  let row = (tile % tiles) * OWN_ROWS + index % OWN_ROWS;
  let b = pair / ${HEADS}u;
  return Own(min(b, batch - 1u), pair % ${HEADS}u, min(row, length - 1u), b < batch && row < length);
}

// The masked score: keys outside the mask get MASKED; a text without any key attends evenly, as transformers does.
fn masked_score(score: f32, key_mask: u32, empty: bool) -> f32 {
  return select(select(MASKED, score, key_mask != 0u), 0.0, empty);
}

// exp for x <= 0; below -104 it is 0 in f32, and drivers differ on huge negative arguments.
fn exp_negative(x: f32) -> f32 { return select(0.0, exp(x), x > -104.0); }

// Philox block of query q and keys 4j … 4j + 3.
fn dropout_block(pair: u32, q: u32, j: u32, length: u32) -> u32 {
  return (pair * length + q) * ((length + 3u) / 4u) + j;
}
