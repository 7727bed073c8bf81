// Nothing but fused multiply-adds in registers, the most that a kernel can compute: CHAINS independent chains of T per
// thread, each c ← c · x + y, so that the next starts before the last is done; UNROLL of them per round of the loop.
// out [threads] keeps the compiler from leaving them out; seed [16]: x = 0.5 and the like, so that c stays finite.
struct Dims { rounds: u32 }
@group(0) @binding(0) var<storage, read> seed: array<f32>;
@group(0) @binding(1) var<storage, read_write> out: array<$T>;
@group(0) @binding(2) var<uniform> dims: Dims;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) thread: vec3u) {
  let x = $T(seed[thread.x & 15u]);
  let y = $T(seed[(thread.x + 1u) & 15u]);
  //#for c in 0..CHAINS
  var c$c = x + $T($c.0);
  //#end
  for (var round = 0u; round < dims.rounds; round++) {
    //#for u in 0..UNROLL
    //#for c in 0..CHAINS
    c$c = fma(c$c, x, y);
    //#end
    //#end
  }
  //#for c in 1..CHAINS
  c0 += c$c;
  //#end
  out[thread.x] = c0;
}
