// c = Σ_s partials[s], or c = c + Σ_s partials[s] (ACCUMULATE): the second half of every split reduction.
//
//   partials [slices, count] as vec4f
//   c [count] as vec4f                  count in vec4
//
// One invocation per vec4, slices added in order, so that every run gives the same bits (the "sum over the leading axis"
// kernel of llm.c's deterministic backward passes).

struct Dims {
  slices: u32,
  count: u32,
}
@group(0) @binding(0) var<uniform> dims: Dims;
@group(0) @binding(1) var<storage, read> partials: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> c: array<vec4f>;

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
  c[index] = c[index] + sum;
  //#else
  c[index] = sum;
  //#end
}
