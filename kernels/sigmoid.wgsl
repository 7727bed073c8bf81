// The logistic function by e^-|x|, which neither overflows nor cancels at any x; an include. T is f32 or vec4f.

// e^-|x|; below e^-104 it is 0 in f32, and drivers differ on huge negative arguments.
fn decay(x: $T) -> $T { return select(exp(-abs(x)), $T(0.0), abs(x) > $T(104.0)); }

fn sigmoid(x: $T) -> $T {
  let e = decay(x);
  return select(e, $T(1.0), x >= $T(0.0)) / (1.0 + e);
}

// σ'(x) = σ(x)·σ(-x) = e / (1 + e)²
fn sigmoid_derivative(x: $T) -> $T {
  let e = decay(x);
  let reciprocal = 1.0 / (1.0 + e);
  return e * reciprocal * reciprocal;
}
