/** How the time of a computation grows with its input: a ratio, since times themselves depend on the machine and its load. */

/**
 * The time for one input of `parts` times the size over the time for `parts` inputs of that size: near 1 where time is
 * proportional to size, near `parts` where it is quadratic. The two are timed in turn, for as long as each other, and the
 * least of the rounds counts, so that a busy machine slows both alike.
 */
export function growth(run: (size: number) => unknown, size: number, parts: number, rounds = 4): number {
  const time = (action: () => void) => {
    const start = performance.now();
    action();
    return performance.now() - start;
  };
  let whole = Infinity, cut = Infinity;
  run(size); // compiled before it is timed
  for (let round = 0; round < rounds; round++) {
    whole = Math.min(whole, time(() => run(parts * size)));
    cut = Math.min(
      cut,
      time(() => {
        for (let part = 0; part < parts; part++) run(size);
      }),
    );
  }
  return whole / cut;
}
