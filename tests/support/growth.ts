/** How the time of a computation grows with its input: a ratio, since times themselves depend on the machine and its load. */

/**
 * The time for an input `factor` times as large over the time for the small one, each the least of `rounds` runs. Near
 * `factor` for linear algorithms, near its square for quadratic ones.
 */
export function growth(run: (size: number) => unknown, size: number, factor: number, rounds = 3): number {
  const least = (size: number) =>
    Math.min(...Array.from({ length: rounds }, () => {
      const start = performance.now();
      run(size);
      return performance.now() - start;
    }));
  run(size); // compiled before it is timed
  return least(factor * size) / least(size);
}
