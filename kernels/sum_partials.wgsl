// c = Σ_s partials[s], or c = c + Σ_s partials[s] (ACCUMULATE): the second half of every reduction in two stages.
//
//   partials [slices, count] as T      T is vec4f, or f32 where the length is no multiple of 4; count in T
//   c [..., count] as T                written from element `first` on, in T: a row of a larger tensor
//
// One invocation per T, slices added in order, so that every run gives the same bits (the "sum over the leading axis"
// kernel of llm.c's deterministic backward passes).

struct Dims {
  slices: u32,
  count: u32,
  first: u32,
}
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> partials: array<$T>;
@group(0) @binding(2) var<storage, read_write> c: array<$T>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) local: u32,
) {
  let index = (group.y * groups.x + group.x) * 64u + local;
  if (index >= dims.count) {
    return;
  }
  var sum = partials[index];
  for (var slice = 1u; slice < dims.slices; slice++) {
    sum += partials[slice * dims.count + index];
  }
  //#if ACCUMULATE
  c[dims.first + index] = c[dims.first + index] + sum;
  //#else
  c[dims.first + index] = sum;
  //#end
}
