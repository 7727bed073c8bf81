// Inverted dropout as `torch.nn.functional.dropout`: 0 with probability p, else 1 / (1 - p). Four elements share one
// Philox block: counter = (block, site, 0, 0), key = (seed, draw). Needs step.wgsl and philox.wgsl.
// threshold = p × 2^32 (an element is dropped when its u32 is below it), scale = 1 / (1 - p).
fn dropout_mask(block: u32, site: u32, threshold: u32, scale: f32) -> vec4f {
  let random = philox(vec4u(block, site, 0u, 0u), vec2u(step.seed, step.draw));
  return select(vec4f(scale), vec4f(0.0), random < vec4u(threshold));
}
