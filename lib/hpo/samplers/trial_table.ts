/**
 * What TPE keeps of the finished trials, so that a trial is looked at once and not at every draw: its parameters in the
 * kernels' units, each column sorted, its loss, and which parameters it has. It is a cache and nothing more: what is read
 * from it is a function of the trials that it was last brought up to date with.
 */
import type { Distribution } from "../space.ts";
import { type Direction, FINISHED, type FrozenTrial } from "../trial.ts";
import { positionOf, signatureOf, unitsOf } from "./axis.ts";

/** One number per trial, and the trials that have one in ascending order of it. */
export interface Column {
  /** By trial number; NaN where a trial has none. */
  values: Float64Array;
  /** Trial numbers, ascending by value and then by number; the first `count` are in use. */
  order: Int32Array;
  count: number;
}

/** The parameters of a trial and their distributions: trials of the same ones have the same object. */
export interface Shape {
  readonly distributions: Readonly<Record<string, Distribution>>;
  /** By parameter: `signatureOf` of its distribution. */
  readonly signatures: ReadonlyMap<string, string>;
}

/** The cache of one study. */
export interface TrialTable {
  /** Takes in the finished trials that are not in it yet. Trials of another study take the place of all that was there. */
  update(trials: readonly FrozenTrial[]): void;
  /** The column of a parameter, in the units of a distribution. */
  column(name: string, distribution: Distribution): Column;
  /** The completed, feasible trials by their only objective, the best first. */
  losses(direction: Direction): Column;
  /** The shape of a finished trial of the last update. */
  shape(trial: FrozenTrial): Shape;
  /** How far a trial is from keeping its constraints: 0 where it keeps them or has none. */
  violation(trial: FrozenTrial): number;
}

/** The sum of what a trial's constraints are above 0, as Optuna 4 (a list) and 5 (one attribute each) store them. */
function violationOf({ systemAttributes }: FrozenTrial): number {
  const constraints = new Map<string, unknown>();
  const list = systemAttributes["constraints"];
  if (Array.isArray(list)) list.forEach((value, i) => constraints.set(String(i), value));
  for (const [key, value] of Object.entries(systemAttributes)) {
    if (key.startsWith("constraints:")) constraints.set(key.slice("constraints:".length), value);
  }
  let sum = 0;
  for (const value of constraints.values()) if (typeof value === "number" && value > 0) sum += value;
  return sum;
}

/** A column of a function of the trials. */
interface Source {
  readonly column: Column;
  readonly valueOf: (trial: FrozenTrial) => number;
}

/** An empty table. */
export function createTrialTable(): TrialTable {
  let seen: (FrozenTrial | undefined)[] = [];
  let sources = new Map<string, Source>();
  let shapes = new Map<string, Shape>();
  let shapeOf = new WeakMap<FrozenTrial, Shape>();
  const violations = new WeakMap<FrozenTrial, number>();

  const violation = (trial: FrozenTrial) => {
    let found = violations.get(trial);
    if (found === undefined) violations.set(trial, found = violationOf(trial));
    return found;
  };

  const source = (key: string, valueOf: (trial: FrozenTrial) => number): Column => {
    let found = sources.get(key);
    if (found === undefined) {
      found = { column: { values: new Float64Array(0), order: new Int32Array(0), count: 0 }, valueOf };
      addTrials(found, seen.filter((trial) => trial !== undefined));
      sources.set(key, found);
    }
    return found.column;
  };

  return {
    update: (trials) => {
      const added: FrozenTrial[] = [];
      let another = false;
      for (const trial of trials) {
        if (!FINISHED.has(trial.state)) {
          another ||= seen[trial.number] !== undefined;
          continue;
        }
        const known = seen[trial.number];
        if (known === trial) continue;
        another ||= known !== undefined;
        added.push(trial);
      }
      if (another) {
        [seen, sources, shapes, shapeOf] = [[], new Map(), new Map(), new WeakMap()];
        for (const trial of trials) if (FINISHED.has(trial.state)) seen[trial.number] = trial;
        return; // the columns come back as they are asked for
      }
      if (added.length === 0) return;
      for (const trial of added) seen[trial.number] = trial;
      for (const found of sources.values()) addTrials(found, added);
    },
    column: (name, distribution) =>
      source(`${name}\u0000${unitsOf(distribution)}`, (trial) => positionOf(distribution, trial.params[name])),
    losses: (direction) =>
      source(`\u0000${direction}`, (trial) => {
        if (trial.state !== "COMPLETE" || violation(trial) > 0) return NaN;
        const value = trial.values?.[0] ?? NaN;
        return direction === "maximize" ? -value : value;
      }),
    shape: (trial) => {
      let shape = shapeOf.get(trial);
      if (shape === undefined) {
        const signatures = new Map(
          Object.keys(trial.distributions).sort().map((name) => [name, signatureOf(trial.distributions[name]!)]),
        );
        const key = JSON.stringify([...signatures]);
        shape = shapes.get(key);
        if (shape === undefined) shapes.set(key, shape = { distributions: trial.distributions, signatures });
        shapeOf.set(trial, shape);
      }
      return shape;
    },
    violation,
  };
}

/** Above this many at once, sorting anew is cheaper than inserting one by one. */
const INSERTED_AT_ONCE = 16;

function addTrials({ column, valueOf }: Source, trials: readonly FrozenTrial[]): void {
  let largest = column.values.length - 1;
  for (const { number } of trials) largest = Math.max(largest, number);
  if (largest >= column.values.length) {
    const size = Math.max(64, 2 * largest);
    const values = new Float64Array(size).fill(NaN), order = new Int32Array(size);
    values.set(column.values);
    order.set(column.order);
    [column.values, column.order] = [values, order];
  }
  const { values, order } = column;
  const numbers: number[] = [];
  for (const trial of trials) {
    values[trial.number] = valueOf(trial);
    if (!Number.isNaN(values[trial.number])) numbers.push(trial.number);
  }
  if (numbers.length > INSERTED_AT_ONCE) {
    order.set(numbers, column.count);
    column.count += numbers.length;
    order.subarray(0, column.count).sort((a, b) => values[a]! - values[b]! || a - b);
  } else {
    for (const number of numbers) insertSorted(order, column.count++, number, values);
  }
}

/** Puts `index` among the first `count` of `order`, which are ascending by value and then by index. */
export function insertSorted(order: Int32Array, count: number, index: number, values: Float64Array): void {
  const value = values[index]!;
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >>> 1, other = order[middle]!;
    if (values[other]! < value || (values[other] === value && other < index)) low = middle + 1;
    else high = middle;
  }
  order.copyWithin(low + 1, low, count);
  order[low] = index;
}
