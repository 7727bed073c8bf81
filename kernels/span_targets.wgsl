// Gold spans from tags; an include. gold [B, T, K]: 0 = O, 1 = B, 2 = I; a span is a B and the I's behind it.
fn tag_at(first: u32, t: u32, k: u32) -> u32 { return gold[(first + t) * ${CRITERIA}u + k]; }

// Whether a span ends at token t of a text of `tokens` tokens.
fn ends_at(first: u32, t: u32, k: u32, tokens: u32) -> bool {
  if (tag_at(first, t, k) == 0u) { return false; }
  return t + 1u >= tokens || tag_at(first, t + 1u, k) != 2u;
}
