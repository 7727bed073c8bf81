// Which subgroup size and lane numbering the adapter gives a 64-thread workgroup.
// out [64, 2]: subgroup size, lane of each local index.
@group(0) @binding(0) var<storage, read_write> out: array<u32>;

@compute @workgroup_size(64)
fn main(
  @builtin(local_invocation_index) index: u32,
  @builtin(subgroup_size) size: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  out[2u * index] = size;
  out[2u * index + 1u] = lane;
}
