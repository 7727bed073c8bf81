/**
 * Parameter importance by PED-ANOVA: how much the best tenth of the trials differs from all of them along each parameter (S.
 * Watanabe et al., "PED-ANOVA: efficiently quantifying hyperparameter importance in arbitrary subspaces", IJCAI 2023), with
 * conditional parameters by regimes (K. Ito et al., "Conditional PED-ANOVA", KDD 2026). Equal to Optuna 5's
 * `get_param_importances`, whose default it is.
 */
import { isSingle, signatureOf } from "../samplers/axis.ts";
import { selectBest } from "../samplers/pareto.ts";
import type { Distribution } from "../space.ts";
import type { Direction, FrozenTrial } from "../trial.ts";
import { gridDensity } from "./scott_parzen.ts";

/** The share of trials that counts as good. */
const TARGET_QUANTILE = 0.1;
/** A domain that fewer trials had says nothing. */
const MIN_TRIALS_IN_REGIME = 2;
/** Added to densities before they divide. */
const EPSILON = 1e-12;

/**
 * The importance of each parameter that a COMPLETE trial has, the largest first; not negative, of sum 1. Where nothing can
 * be told (fewer than two finite trials, or no difference), all are equal, as in Optuna.
 *
 * @param directions one per objective; several are taken together, as the distance to the Pareto front
 */
export function paramImportances(
  trials: readonly FrozenTrial[],
  directions: readonly Direction[],
): Record<string, number> {
  const complete = trials.filter(({ state }) => state === "COMPLETE");
  const names = [...new Set(complete.flatMap(({ distributions }) => Object.keys(distributions)))];
  const region = complete.filter(({ values }) => values !== null && values.every(Number.isFinite));
  const target = new Set(region.length <= 1 ? [] : topTrials(region, directions));
  const raw = names.map((name): [string, number] => [name, target.size === 0 ? 0 : divergence(name, region, target)]);
  const sum = raw.reduce((total, [, value]) => total + value, 0);
  const shares = raw.map(([name, value]): [string, number] => [name, sum === 0 ? 1 / names.length : value / sum]);
  return Object.fromEntries(shares.sort((a, b) => b[1] - a[1]));
}

/** The best tenth, and with one objective those that tie with the last of it. */
function topTrials(region: readonly FrozenTrial[], directions: readonly Direction[]): FrozenTrial[] {
  const count = Math.ceil(TARGET_QUANTILE * region.length);
  const losses = region.map(({ values }) => values!.map((value, i) => directions[i] === "maximize" ? -value : value));
  if (directions.length > 1) return selectBest(losses, count).map((i) => region[i]!);
  const cutoff = losses.map(([loss]) => loss!).sort((a, b) => a - b)[count - 1]!;
  return region.filter((_, i) => losses[i]![0]! <= cutoff);
}

/** Algorithm 1 of the conditional paper: Pearson divergences of the regimes, weighted by how good trials share them out. */
function divergence(name: string, region: readonly FrozenTrial[], target: ReadonlySet<FrozenTrial>): number {
  const regimes = Map.groupBy(region, ({ distributions }) => {
    const distribution = Object.hasOwn(distributions, name) ? distributions[name] : undefined;
    return distribution === undefined ? "" : signatureOf(distribution);
  });
  let total = 0;
  for (const [regime, members] of regimes) {
    const good = members.filter((trial) => target.has(trial));
    if (regime === "" || members.length < MIN_TRIALS_IN_REGIME || good.length === 0) continue;
    const distribution = members[0]!.distributions[name]!;
    if (isSingle(distribution)) continue;
    const targetShare = good.length / target.size, regionShare = members.length / region.length;
    total += targetShare ** 2 / regionShare * pearsonDivergence(name, distribution, good, members);
  }
  return total * (target.size / region.length) ** 2;
}

/** Σ local · (top / local − 1)² over the grid. */
function pearsonDivergence(
  name: string,
  distribution: Distribution,
  good: readonly FrozenTrial[],
  all: readonly FrozenTrial[],
): number {
  const density = (trials: readonly FrozenTrial[]) =>
    gridDensity(distribution, trials.map(({ params }) => params[name]!)).map((one) => one + EPSILON);
  const top = density(good), local = density(all);
  return local.reduce((sum, one, i) => sum + one * (top[i]! / one - 1) ** 2, 0);
}
