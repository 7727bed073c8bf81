/**
 * The error function and its complement in double precision, after FreeBSD's `s_erf.c` (rational approximations on five
 * intervals; error below 1 unit in the last place).
 *
 * ====================================================
 * Copyright (C) 1993 by Sun Microsystems, Inc. All rights reserved.
 *
 * Developed at SunPro, a Sun Microsystems, Inc. business.
 * Permission to use, copy, modify, and distribute this
 * software is freely granted, provided that this notice
 * is preserved.
 * ====================================================
 */

/** erf(1), cut to 24 bits, as the middle interval's approximation wants it. */
const ERF_OF_ONE = 8.45062911510467529297e-01;

/** (erf(x) − x) / x for |x| < 0.84375, by z = x². */
function small(z: number): number {
  const p = 1.28379167095512558561e-01 + z * (-3.25042107247001499370e-01 + z * (-2.84817495755985104766e-02 +
            z * (-5.77027029648944159157e-03 + z * -2.37630166566501626084e-05)));
  const q = 1 + z * (3.97917223959155352819e-01 + z * (6.50222499887672944485e-02 +
            z * (5.08130628187576562776e-03 + z * (1.32494738004321644526e-04 + z * -3.96022827877536812320e-06))));
  return p / q;
}

/** erf(x) − erf(1) for 0.84375 ≤ x < 1.25, by s = x − 1. */
function nearOne(s: number): number {
  const p = -2.36211856075265944077e-03 + s * (4.14856118683748331666e-01 + s * (-3.72207876035701323847e-01 +
            s * (3.18346619901161753674e-01 + s * (-1.10894694282396677476e-01 +
                    s * (3.54783043256182359371e-02 + s * -2.16637559486879084300e-03)))));
  const q = 1 + s * (1.06420880400844228286e-01 + s * (5.40397917702171048937e-01 +
            s * (7.18286544141962662868e-02 + s * (1.26171219808761642112e-01 +
                    s * (1.36370839120290507362e-02 + s * 1.19844998467991074170e-02)))));
  return p / q;
}

/** erfc(x) for x ≥ 1.25. */
function tail(x: number): number {
  if (x >= 28) return 0;
  const s = 1 / (x * x);
  let p: number, q: number;
  if (x < 1 / 0.35) {
    p = -9.86494403484714822705e-03 + s * (-6.93858572707181764372e-01 + s * (-1.05586262253232909814e01 +
              s * (-6.23753324503260060396e01 + s * (-1.62396669462573470355e02 + s * (-1.84605092906711035994e02 +
                          s * (-8.12874355063065934246e01 + s * -9.81432934416914548592e00))))));
    q = 1 + s * (1.96512716674392571292e01 + s * (1.37657754143519042600e02 + s * (4.34565877475229228821e02 +
                  s * (6.45387271733267880336e02 + s * (4.29008140027567833386e02 + s * (1.08635005541779435134e02 +
                              s * (6.57024977031928170135e00 + s * -6.04244152148580987438e-02)))))));
  } else {
    p = -9.86494292470009928597e-03 + s * (-7.99283237680523006574e-01 + s * (-1.77579549177547519889e01 +
              s * (-1.60636384855821916062e02 + s * (-6.37566443368389627722e02 +
                      s * (-1.02509513161107724954e03 + s * -4.83519191608651397019e02)))));
    q = 1 + s * (3.03380607434824582924e01 + s * (3.25792512996573918826e02 + s * (1.53672958608443695994e03 +
                  s * (3.19985821950859553908e03 + s * (2.55305040643316442583e03 +
                          s * (4.74528541206955367215e02 + s * -2.24409524465858183362e01))))));
  }
  // exp(−x²) in two factors: the square of a number of 24 bits is exact.
  const rounded = Math.fround(x);
  return Math.exp(-rounded * rounded - 0.5625) * Math.exp((rounded - x) * (rounded + x) + p / q) / x;
}

/** The error function: 2/√π ∫₀ˣ exp(−t²) dt. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (a < 0.84375) return x + x * small(x * x);
  if (a < 1.25) return Math.sign(x) * (ERF_OF_ONE + nearOne(a - 1));
  return Math.sign(x) * (1 - tail(a));
}

/** 1 − erf(x), exact to the last digits where erf(x) is close to 1. */
export function erfc(x: number): number {
  const a = Math.abs(x);
  if (a < 0.84375) return 1 - (x + x * small(x * x));
  if (a < 1.25) return x > 0 ? 1 - ERF_OF_ONE - nearOne(a - 1) : 1 + ERF_OF_ONE + nearOne(a - 1);
  return x > 0 ? tail(a) : 2 - tail(a);
}
