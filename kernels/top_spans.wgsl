// The best spans of every text and criterion, no two of which share a token (greedy non-maximum suppression), and the score
// of "no evidence". GRID = 1: the span i to i + l scores scores[b, i, k, l], [B, T, K, BAND]; GRID = 0: it scores
// scores[b, i, 2k] + scores[b, i + l, 2k + 1], [B, T, 2K]. Spans lie among the tokens from[b] to limits[b] - 2 (the last
// token is a separator); the span of token 0 alone is "no evidence".
// spans [B, K, 1 + 3·SPANS] words: the null score, then first token, last token (0, 0 where no span is left) and score.
// Of equal scores the earlier start wins, then the shorter span. One row (b, k) per 64 threads.
struct Dims { batch: u32, length: u32 }
@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<storage, read> begins: array<u32>;
@group(0) @binding(2) var<storage, read> limits: array<u32>;
@group(0) @binding(3) var<storage, read_write> spans: array<u32>;
@group(0) @binding(4) var<uniform> dims: Dims;

const LOWEST = -3.0e38;
const WORDS = ${1 + 3 * SPANS}u;
var<workgroup> best_score: array<f32, 64>;
var<workgroup> best_start: array<u32, 64>;
var<workgroup> best_reach: array<u32, 64>;
var<workgroup> taken: array<vec2u, ${SPANS}>;

fn score_of(first: u32, i: u32, l: u32, k: u32) -> f32 {
  //#if GRID
  return scores[((first + i) * ${CRITERIA}u + k) * ${BAND}u + l];
  //#else
  return scores[(first + i) * ${2 * CRITERIA}u + 2u * k] + scores[(first + i + l) * ${2 * CRITERIA}u + 2u * k + 1u];
  //#end
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
  let row = group.y * 32768u + group.x;
  if (row >= dims.batch * ${CRITERIA}u) { return; }
  let b = row / ${CRITERIA}u;
  let k = row % ${CRITERIA}u;
  let first = b * dims.length;
  let end = max(limits[b], 1u) - 1u; // the separator
  if (thread == 0u) { spans[row * WORDS] = bitcast<u32>(select(score_of(first, 0u, 0u, k), 0.0, limits[b] == 0u)); }
  for (var n = 0u; n < ${SPANS}u; n++) {
    var score = LOWEST;
    var start = 0u;
    var reach = 0u;
    for (var i = begins[b] + thread; i < end; i += 64u) {
      // No span may run into one that is taken.
      var free = min(${BAND}u, end - i);
      for (var m = 0u; m < n; m++) {
        if (i >= taken[m].x && i <= taken[m].y) { free = 0u; }
        if (i < taken[m].x) { free = min(free, taken[m].x - i); }
      }
      for (var l = 0u; l < free; l++) {
        let candidate = score_of(first, i, l, k);
        if (candidate > score) {
          score = candidate;
          start = i;
          reach = l;
        }
      }
    }
    best_score[thread] = score;
    best_start[thread] = start;
    best_reach[thread] = reach;
    workgroupBarrier();
    if (thread == 0u) {
      for (var i = 1u; i < 64u; i++) {
        let better = best_score[i] > score || (best_score[i] == score && score > LOWEST && best_start[i] < start);
        if (better) {
          score = best_score[i];
          start = best_start[i];
          reach = best_reach[i];
        }
      }
      let found = score > LOWEST;
      // What was not found takes the place of the null span, which no candidate touches.
      taken[n] = select(vec2u(), vec2u(start, start + reach), found);
      let at = row * WORDS + 1u + 3u * n;
      spans[at] = select(0u, start, found);
      spans[at + 1u] = select(0u, start + reach, found);
      spans[at + 2u] = bitcast<u32>(score);
    }
    workgroupBarrier();
  }
}
