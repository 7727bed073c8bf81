// Scalars that change every step; written by lib/gpu/program.ts (StepScalars), same order.
struct Step {
  seed: u32,
  draw: u32,
  slot: u32,
  learning_rate: f32,
  bias_correction_1: f32,
  bias_correction_2: f32,
  criteria_scale: f32,
  span_scale: f32,
}
@group(1) @binding(0) var<uniform> step: Step;
