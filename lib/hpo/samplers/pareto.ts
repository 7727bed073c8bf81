/**
 * The best n points of several objectives, all to be minimised: whole ranks of nondominated points, and of the rank that does
 * not fit the points that together dominate the largest volume, taken greedily (A. P. Guerreiro et al., "Greedy
 * hypervolume subset selection in low dimensions", 2016), as in Optuna.
 */

type Point = readonly number[];

const same = (a: Point, b: Point): boolean => a.every((x, i) => x === b[i]);

/** Whether a is at least as good as b everywhere. */
const weaklyDominates = (a: Point, b: Point): boolean => a.every((x, i) => x <= b[i]!);

function compareLexically(a: Point, b: Point): number {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]! ? -1 : 1;
  return 0;
}

/** The rank of each point: 0 for the nondominated ones, 1 for those that only they dominate, and so on; equal for equals. */
function ranksUpTo(points: readonly Point[], count: number): Int32Array {
  const ranks = new Int32Array(points.length).fill(-1);
  let left = points.map((_, i) => i).sort((a, b) => compareLexically(points[a]!, points[b]!));
  for (let rank = 0, ranked = 0; left.length > 0; rank++) {
    if (ranked >= count) {
      for (const i of left) ranks[i] = rank;
      break;
    }
    // In this order no point is dominated by a later one.
    const front: number[] = [], rest: number[] = [];
    for (const i of left) {
      const p = points[i]!;
      const dominated = front.some((j) => weaklyDominates(points[j]!, p) && !same(points[j]!, p));
      (dominated ? rest : front).push(i);
    }
    for (const i of front) ranks[i] = rank;
    ranked += front.length;
    left = rest;
  }
  return ranks;
}

const boxVolume = (point: Point, reference: Point): number => point.reduce((v, x, i) => v * (reference[i]! - x), 1);

/** The volume that points dominate up to a reference point, by the WFG recursion (L. While et al., 2012). */
function hypervolume(points: readonly Point[], reference: Point): number {
  const sorted = [...points].sort(compareLexically);
  const front = sorted.filter((p, i) => !sorted.slice(0, i).some((q) => weaklyDominates(q, p)));
  return front.reduce((volume, point, i) => {
    const limited = front.slice(i + 1).map((other) => other.map((x, d) => Math.max(x, point[d]!)));
    return volume + boxVolume(point, reference) - (limited.length === 0 ? 0 : hypervolume(limited, reference));
  }, 0);
}

/** Indices of the `count` points that greedily add the most volume. */
function greedyVolume(points: readonly Point[], count: number): number[] {
  const worst = points[0]!.map((_, d) => Math.max(...points.map((p) => p[d]!)));
  const reference = worst.map((x) => Math.max(1.1 * x, 0.9 * x) || 1e-12);
  // Equal points add nothing to one another: the first of them stands for all, in lexical order as in Optuna.
  const order = points.map((_, i) => i).sort((a, b) => compareLexically(points[a]!, points[b]!) || a - b);
  const distinct = order.filter((i, k) => k === 0 || !same(points[i]!, points[order[k - 1]!]!));
  if (distinct.length < count) {
    const chosen = new Set(distinct);
    for (let i = 0; i < points.length && chosen.size < count; i++) chosen.add(i);
    return [...chosen];
  }
  if (!reference.every(Number.isFinite)) return distinct.slice(0, count);
  const chosen: number[] = [];
  const left = [...distinct];
  const bounds = left.map((i) => boxVolume(points[i]!, reference)); // a contribution never grows
  while (chosen.length < count) {
    let best = -1, most = -Infinity;
    for (let k = 0; k < left.length; k++) {
      if (bounds[k]! <= most) continue;
      const point = points[left[k]!]!;
      const shared = chosen.map((j) => points[j]!.map((x, d) => Math.max(x, point[d]!)));
      bounds[k] = boxVolume(point, reference) - (shared.length === 0 ? 0 : hypervolume(shared, reference));
      if (bounds[k]! > most) [best, most] = [k, bounds[k]!];
    }
    if (best < 0) best = 0;
    chosen.push(left[best]!);
    left.splice(best, 1);
    bounds.splice(best, 1);
  }
  return chosen;
}

/** The indices of the best `count` points (0 to all of them), in no particular order. */
export function selectBest(points: readonly Point[], count: number): number[] {
  if (count <= 0) return [];
  if (count >= points.length) return points.map((_, i) => i);
  const ranks = ranksUpTo(points, count);
  const chosen: number[] = [];
  for (let rank = 0; chosen.length < count; rank++) {
    const members = points.map((_, i) => i).filter((i) => ranks[i] === rank);
    const room = count - chosen.length;
    if (members.length <= room) chosen.push(...members);
    else chosen.push(...greedyVolume(members.map((i) => points[i]!), room).map((k) => members[k]!));
  }
  return chosen;
}
