// Storage in 16 bits (IEEE binary16), arithmetic in f32: four numbers in two words. WGSL packs them without any feature of
// the adapter, rounding to nearest even; what it makes of numbers beyond ±65504 it leaves open, so those, infinities and
// NaN are here made infinite or NaN: an overflow must show in the gradient's norm.
fn from_half(words: vec2u) -> vec4f {
  return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn half_pair(pair: vec2f) -> u32 {
  // By bits, since compilers may take it that no number is NaN. 0x477fe000 is 65504.
  let beyond = (bitcast<vec2u>(pair) & vec2u(0x7fffffffu)) > vec2u(0x477fe000u);
  let word = pack2x16float(select(pair, vec2f(), beyond));
  return word | select(0u, 0x7c00u, beyond.x) | select(0u, 0x7c000000u, beyond.y);
}

fn to_half(value: vec4f) -> vec2u {
  return vec2u(half_pair(value.xy), half_pair(value.zw));
}
