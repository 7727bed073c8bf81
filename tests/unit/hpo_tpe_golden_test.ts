/** The numbers of TPE against those of real Optuna, to 1e-9 (tests/golden/optuna/tpe_*.json). */
import assert from "node:assert/strict";
import { axisOf, positionOf } from "../../lib/hpo/samplers/axis.ts";
import { ageWeights, logDensity, type Observations, parzenEstimator } from "../../lib/hpo/samplers/parzen.ts";
import { gamma } from "../../lib/hpo/samplers/split.ts";
import { logGaussMass, truncatedNormalQuantile } from "../../lib/hpo/samplers/truncated_normal.ts";
import { type Distribution, fromInternal, fromOptunaJson } from "../../lib/hpo/space.ts";

interface Case {
  space: string;
  dist: object;
  multivariate_param: boolean;
  observations: number[];
  mix_weights: number[];
  mu: number[];
  sigma: number[];
  x: number[];
  log_pdf: number[];
}
type JointCase = Pick<Case, "multivariate_param" | "mix_weights" | "log_pdf"> & {
  observations: Record<string, number[]>;
  x: Record<string, number[]>;
};
interface Golden {
  optuna: string;
  gamma: Record<string, number>;
  weights: Record<string, number[]>;
  cases: Case[];
  ppf: { a: number; b: number; q: number[]; x: number[]; logmass: number }[];
}

const goldens: Golden[] = ["4.9.0", "5.0.0rc1"].map((version) =>
  JSON.parse(Deno.readTextFileSync(new URL(`../golden/optuna/tpe_${version}.json`, import.meta.url)))
);

/** NumPy's order of the joint case's observations on the axes where some are equal. */
const JOINT_ORDERS: Record<string, number[]> = {
  fstep: [13, 18, 19, 7, 12, 17, 11, 15, 5, 10, 3, 2, 8, 9, 1, 6, 16, 14, 0, 4],
  int: [0, 3, 12, 2, 8, 1, 6, 16, 9, 4, 11, 15, 14, 13, 5, 7, 10, 17, 18, 19],
  int8: [0, 1, 7, 8, 9, 16, 15, 10, 11, 3, 6, 13, 17, 18, 12, 2, 4, 5, 14, 19],
  intlog: [13, 9, 7, 3, 11, 17, 2, 5, 10, 14, 15, 16, 18, 19, 8, 6, 4, 1, 12, 0],
};

function assertClose(actual: Iterable<number>, expected: readonly number[], what: string): void {
  const found = [...actual];
  assert.equal(found.length, expected.length, what);
  found.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) <= 1e-9, `${what} [${i}]: ${value}, Optuna has ${expected[i]}`);
  });
}

/**
 * Which of two equal observations is the first in order decides which one has the wider kernel; NumPy's sort leaves that to
 * the processor it runs on. So equal ones are ordered such that their widths are Optuna's, if any order has them.
 */
function observationsOf(
  distribution: Distribution,
  internal: readonly number[],
  sigma?: readonly number[],
): Observations {
  const axis = axisOf(distribution);
  const values = Float64Array.from(internal, (x) => positionOf(distribution, fromInternal(distribution, x)));
  const order = [...values.keys()].sort((a, b) => values[a]! - values[b]! || a - b);
  if (sigma !== undefined && axis.kind === "numerical") {
    for (let from = 0, to = 0; from < order.length; from = to) {
      while (to < order.length && values[order[to]!] === values[order[from]!]) to++;
      const tied = order.slice(from, to);
      const candidates = tied.flatMap((first) => tied.map((last) => [first, last] as const));
      for (const [first, last] of candidates) {
        if (tied.length < 2 || first === last) continue;
        const between = tied.filter((k) => k !== first && k !== last);
        order.splice(from, tied.length, first, ...between, last);
        const found = kernelsOf({ axis, values, order: Int32Array.from(order) }).sigma;
        if (tied.every((k) => Math.abs(found[k]! - sigma[k]!) < 1e-9)) break;
      }
    }
  }
  return { axis, values, order: Int32Array.from(order) };
}

function kernelsOf(observations: Observations) {
  const [kernels] = parzenEstimator([observations]).dimensions;
  assert.ok(kernels && "mu" in kernels);
  return kernels;
}

Deno.test("TPE's gamma, weights and truncated normal are Optuna's", () => {
  for (const golden of goldens) {
    for (const [n, expected] of Object.entries(golden.gamma)) assert.equal(gamma(Number(n)), expected, `gamma(${n})`);
    for (const [n, expected] of Object.entries(golden.weights)) {
      assertClose(ageWeights(Number(n)), expected, `weights(${n})`);
    }
    for (const { a, b, q, x, logmass } of golden.ppf) {
      assertClose(q.map((one) => truncatedNormalQuantile(one, a, b)), x, `quantiles on [${a}, ${b}]`);
      assertClose([logGaussMass(a, b)], [logmass], `log mass of [${a}, ${b}]`);
    }
  }
});

for (const golden of goldens) {
  // Optuna 4 drew joint kernels of one width for all; Optuna 5 and Winnow have the widths of single ones there too.
  const hasOurWidths = ({ multivariate_param: joint }: { multivariate_param: boolean }) =>
    !joint || golden.optuna.startsWith("5");

  Deno.test(`TPE's kernels and log densities are Optuna ${golden.optuna}'s`, () => {
    const cases = golden.cases.filter((one) => one.space !== "joint");
    assert.equal(cases.length, 70);
    let compared = 0;
    for (const one of cases) {
      const what = `${one.space}, ${one.observations.length} observations, joint ${one.multivariate_param}`;
      const distribution = fromOptunaJson(JSON.stringify(one.dist));
      const comparable = hasOurWidths(one);
      const observations = observationsOf(distribution, one.observations, comparable ? one.sigma : undefined);
      const estimator = parzenEstimator([observations]);
      assertClose(estimator.weights, one.mix_weights, `weights: ${what}`);
      if (observations.axis.kind === "numerical") {
        const { mu, sigma } = kernelsOf(observations);
        assertClose(mu, one.mu, `mu: ${what}`);
        if (comparable) assertClose(sigma, one.sigma, `sigma: ${what}`);
      }
      if (!comparable) continue;
      assertClose(logDensity(estimator, [Float64Array.from(one.x)]), one.log_pdf, `log density: ${what}`);
      compared++;
    }
    assert.equal(compared, golden.optuna.startsWith("5") ? 70 : 35);
  });

  Deno.test(`TPE's joint log density in seven dimensions is Optuna ${golden.optuna}'s`, () => {
    const distributions = new Map(
      golden.cases.filter((one) => one.space !== "joint").map((
        one,
      ) => [one.space, fromOptunaJson(JSON.stringify(one.dist))]),
    );
    const cases = golden.cases.filter((one) => one.space === "joint" && hasOurWidths(one)) as unknown as JointCase[];
    assert.equal(cases.length, golden.optuna.startsWith("5") ? 2 : 1);
    for (const { observations, x, mix_weights, log_pdf } of cases) {
      const names = Object.keys(observations);
      assert.equal(names.length, 7);
      const estimator = parzenEstimator(
        names.map((name) => {
          const found = observationsOf(distributions.get(name)!, observations[name]!);
          return name in JOINT_ORDERS ? { ...found, order: Int32Array.from(JOINT_ORDERS[name]!) } : found;
        }),
      );
      assertClose(estimator.weights, mix_weights, "weights");
      assertClose(logDensity(estimator, names.map((name) => Float64Array.from(x[name]!))), log_pdf, "log density");
    }
  });
}
