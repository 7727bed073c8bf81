// Sum and maximum over the LANES threads that own one row, result in every lane; in a fixed order, so that the same
// device gives the same bits.
// SUBGROUP = 1: the lanes are one subgroup (lavapipe 8, NVIDIA 32), no barrier. On lavapipe a barrier spills every live
// value, and a 64-thread tree takes 1.7 to 3.6 times as long as one subgroup per row.
// SUBGROUP = 0: the lanes are the whole workgroup; partial sums go through workgroup memory. All threads of the
// workgroup must call it.
//#if SUBGROUP
fn row_sum(value: f32, lane: u32) -> f32 { return subgroupAdd(value); }
fn row_max(value: f32, lane: u32) -> f32 { return subgroupMax(value); }
//#else
var<workgroup> row_partial: array<f32, $LANES>;

fn row_sum(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  row_partial[lane] = value;
  workgroupBarrier();
  var total = 0.0;
  for (var i = 0u; i < ${LANES}u; i += 4u) {
    total += (row_partial[i] + row_partial[i + 1u]) + (row_partial[i + 2u] + row_partial[i + 3u]);
  }
  return total;
}

fn row_max(value: f32, lane: u32) -> f32 {
  workgroupBarrier();
  row_partial[lane] = value;
  workgroupBarrier();
  var highest = row_partial[0];
  for (var i = 1u; i < ${LANES}u; i++) { highest = max(highest, row_partial[i]); }
  return highest;
}
//#end
