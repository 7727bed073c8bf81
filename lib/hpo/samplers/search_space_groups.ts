/**
 * Which parameters are drawn together, told from what finished trials have suggested: all that every trial had, or for
 * conditional spaces groups of those that always came together (Optuna's `IntersectionSearchSpace` and
 * `_GroupDecomposedSearchSpace`).
 */
import type { SearchSpace } from "../space.ts";
import type { FrozenTrial, StudyHistory } from "../trial.ts";
import { isLearnt } from "./split.ts";
import type { Shape, TrialTable } from "./trial_table.ts";

/** The distinct shapes of completed and pruned trials, in the order of their first trials. */
export function shapesOf(trials: readonly FrozenTrial[], table: TrialTable): Shape[] {
  const shapes = new Set<Shape>();
  for (const trial of trials) if (isLearnt(trial)) shapes.add(table.shape(trial));
  return [...shapes];
}

/** The parameters that every shape has with the same distribution, by name. */
export function intersectionSpace(shapes: readonly Shape[]): SearchSpace {
  const [first, ...others] = shapes;
  if (first === undefined) return {};
  const common = [...first.signatures].filter(([name, signature]) =>
    others.every(({ signatures }) => signatures.get(name) === signature)
  );
  return Object.fromEntries(common.map(([name]) => [name, first.distributions[name]!]));
}

/**
 * The coarsest partition of all parameters in which each group is in a shape wholly or not at all; groups and names sorted.
 * A parameter whose range has changed has that of the shape that came up last.
 */
export function groupedSpaces(shapes: readonly Shape[]): SearchSpace[] {
  // Parameters belong together when the same shapes have them.
  const presence = new Map<string, number[]>();
  shapes.forEach(({ signatures }, i) => {
    for (const name of signatures.keys()) {
      const found = presence.get(name);
      if (found) found.push(i);
      else presence.set(name, [i]);
    }
  });
  const groups = new Map<string, SearchSpace>();
  for (const name of [...presence.keys()].sort()) {
    const at = presence.get(name)!;
    const key = at.join(" ");
    let group = groups.get(key);
    if (group === undefined) groups.set(key, group = {});
    group[name] = shapes[at.at(-1)!]!.distributions[name]!;
  }
  return [...groups.values()];
}

/** The spaces to draw from jointly, in this order; remembers the last answer, since shapes seldom change. */
export function jointSpaces(group: boolean): (history: StudyHistory, table: TrialTable) => readonly SearchSpace[] {
  let lastShapes: readonly Shape[] = [];
  let lastSpaces: readonly SearchSpace[] = [];
  return (history, table) => {
    const shapes = shapesOf(history.trials, table);
    if (shapes.length !== lastShapes.length || shapes.some((shape, i) => shape !== lastShapes[i])) {
      lastSpaces = group ? groupedSpaces(shapes) : [intersectionSpace(shapes)];
      lastShapes = shapes;
    }
    return lastSpaces;
  };
}
