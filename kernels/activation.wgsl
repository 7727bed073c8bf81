// The activation of a feed-forward block and its derivative: ReLU, or GELU, exact (erf) or in the tanh form, after Hendrycks
// and Gimpel, "Gaussian Error Linear Units" (arXiv:1606.08415); an include.
//
//   RELU = 1: max(x, 0), with derivative 0 at 0 as in torch.nn.functional.relu; otherwise
//   GELU_TANH = 0: gelu(x) = x·Φ(x), Φ(x) = (1 + erf(x/√2)) / 2          (torch.nn.GELU(), Hugging Face "gelu")
//   GELU_TANH = 1: gelu(x) = x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) / 2   ("gelu_new", "gelu_pytorch_tanh")
//
// ACTIVATION_TYPE is f32 or vec4f. erf and tanh are the rational functions of Eigen and XLA (absolute error below 2e-7): WGSL has
// no erf, and the tanh of lavapipe is off by 1.6e-2 in relative terms near 0.

//#if RELU
fn activate(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  return max(x, $ACTIVATION_TYPE());
}

fn activation_derivative(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  return select($ACTIVATION_TYPE(), $ACTIVATION_TYPE(1.0), x > $ACTIVATION_TYPE());
}
//#else
//#if GELU_TANH
fn gelu_tanh(z: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  let x = clamp(z, $ACTIVATION_TYPE(-7.90531110763549805), $ACTIVATION_TYPE(7.90531110763549805));
  let s = x * x;
  var alpha = fma(s, $ACTIVATION_TYPE(-2.76076847742355e-16), $ACTIVATION_TYPE(2.00018790482477e-13));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-8.60467152213735e-11));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(5.12229709037114e-08));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(1.48572235717979e-05));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(6.37261928875436e-04));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(4.89352455891786e-03));
  var beta = fma(s, $ACTIVATION_TYPE(1.19825839466702e-06), $ACTIVATION_TYPE(1.18534705686654e-04));
  beta = fma(s, beta, $ACTIVATION_TYPE(2.26843463243900e-03));
  beta = fma(s, beta, $ACTIVATION_TYPE(4.89352518554385e-03));
  return x * alpha / beta;
}

fn activate(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  let t = gelu_tanh(0.7978845608028654 * fma(x * x, 0.044715 * x, x));
  return 0.5 * fma(x, t, x);
}

/// d gelu(x) / dx = σ(2z) + x·(1 - tanh²(z))·z'/2, by e = exp(-2|z|): 1 - tanh² cancels where GELU is nearly flat.
fn activation_derivative(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  let z = 0.7978845608028654 * fma(x * x, 0.044715 * x, x);
  let slope = 0.7978845608028654 * fma(x * x, $ACTIVATION_TYPE(0.134145), $ACTIVATION_TYPE(1.0));
  let e = exp(-2.0 * abs(z));
  let reciprocal = 1.0 / (1.0 + e);
  return reciprocal * (select(e, $ACTIVATION_TYPE(1.0), z >= $ACTIVATION_TYPE(0.0)) + 2.0 * x * slope * e * reciprocal);
}
//#else
fn gelu_erf(z: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  let x = clamp(z, $ACTIVATION_TYPE(-4.0), $ACTIVATION_TYPE(4.0));
  let s = x * x;
  var alpha = fma(s, $ACTIVATION_TYPE(-2.72614225801306e-10), $ACTIVATION_TYPE(2.77068142495902e-08));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-2.10102402082508e-06));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-5.69250639462346e-05));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-7.34990630326855e-04));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-2.95459980854025e-03));
  alpha = fma(s, alpha, $ACTIVATION_TYPE(-1.60960333262415e-02));
  var beta = fma(s, $ACTIVATION_TYPE(-1.45660718464996e-05), $ACTIVATION_TYPE(-2.13374055278905e-04));
  beta = fma(s, beta, $ACTIVATION_TYPE(-1.68282697438203e-03));
  beta = fma(s, beta, $ACTIVATION_TYPE(-7.37332916720468e-03));
  beta = fma(s, beta, $ACTIVATION_TYPE(-1.42647390514189e-02));
  return x * alpha / beta;
}

fn activate(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  return 0.5 * fma(x, gelu_erf(0.7071067811865476 * x), x);
}

/// d gelu(x) / dx = Φ(x) + x·φ(x)
fn activation_derivative(x: $ACTIVATION_TYPE) -> $ACTIVATION_TYPE {
  let density = 0.3989422804014327 * exp(-0.5 * x * x);
  return fma(x, density, 0.5 + 0.5 * gelu_erf(0.7071067811865476 * x));
}
//#end
//#end
