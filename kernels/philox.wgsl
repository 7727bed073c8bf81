// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11): the random numbers of dropout,
// recomputed in the backward pass instead of being stored. lib/support/rng.ts is the same function on the CPU.

// High and low words of the 64-bit product, by 16-bit halves since WGSL has no 64-bit integers.
fn multiply_wide(a: u32, b: u32) -> vec2u {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let middle_2 = a_low * b_high + (middle & 0xffffu);
  return vec2u(a_high * b_high + (middle >> 16u) + (middle_2 >> 16u), a * b);
}

fn philox_round(c: vec4u, key: vec2u) -> vec4u {
  let p0 = multiply_wide(0xd2511f53u, c.x);
  let p1 = multiply_wide(0xcd9e8d57u, c.z);
  return vec4u(p1.x ^ c.y ^ key.x, p1.y, p0.x ^ c.w ^ key.y, p0.y);
}

fn philox(counter: vec4u, key: vec2u) -> vec4u {
  var c = counter;
  //#for round in 0..10
  c = philox_round(c, key + vec2u(${round}u * 0x9e3779b9u, ${round}u * 0xbb67ae85u));
  //#end
  return c;
}
