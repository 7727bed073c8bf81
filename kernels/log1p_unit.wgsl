// log(1 + u) for -1/4 <= u <= 1 by the series of 2·atanh(u / (2 + u)); an include. The driver's log may lose all digits
// near 1.
fn log1p_unit(u: f32) -> f32 {
  let s = u / (2.0 + u);
  let q = s * s;
  return 2.0 * s * (1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + q * (1.0 / 11.0
    + q * (1.0 / 13.0)))))));
}
