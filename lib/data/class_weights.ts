/** Weights of positive labels, so that rare ones count as much as frequent ones. */

/**
 * Per output, the negatives over the positives of the rows (`pos_weight` of `torch.nn.BCEWithLogitsLoss`), at most
 * `largest`; an output without any positive has weight 1, since there is nothing to weigh.
 */
export function positiveWeights(rows: readonly { labels: ArrayLike<number> }[], largest: number): number[] {
  return Array.from(rows[0]?.labels ?? [], (_, output) => {
    const positives = rows.reduce((sum, { labels }) => sum + labels[output]!, 0);
    return positives === 0 ? 1 : Math.min(largest, (rows.length - positives) / positives);
  });
}
