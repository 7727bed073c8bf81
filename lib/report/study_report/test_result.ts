/**
 * What the page shows of the test split, out of `summary_report.json`. It is read leniently: reports of earlier versions have
 * no curves and no confusion matrices, and a part that is not as expected is left out rather than the page.
 */
import { z } from "zod";

const measure = z.number().nullable();
const interval = z.object({ low: z.number(), high: z.number() }).nullable();
const metrics = z.record(z.string(), measure);

const criterionSchema = z.object({
  threshold: z.number(),
  support: z.number(),
  precision: measure,
  recall: measure,
  f1: measure,
  pr_auc: measure,
  roc_auc: measure.optional(),
  ece: measure.optional(),
  confusion_matrix: z.array(z.array(z.number()).length(2)).length(2),
  intervals: z.object({ f1: interval }).optional(),
  pr_curve: z.object({
    threshold: z.array(z.number()),
    precision: z.array(z.number()),
    recall: z.array(z.number()),
  }).nullable(),
});

const intervalsSchema = z.object({
  confidence: z.number(),
  samples: z.number(),
  metrics: z.record(z.string(), interval),
});

const summarySchema = z.object({
  test: metrics,
  baseline: metrics,
  test_details: z.object({
    posts: z.number(),
    criteria: z.object({ per_criterion: z.record(z.string(), criterionSchema) }),
    intervals: intervalsSchema.optional(),
  }).optional().catch(undefined),
});

/** A criterion on the test split. */
export type CriterionResult = z.infer<typeof criterionSchema>;

/** The best trial on the test split. */
export interface TestResult {
  readonly metrics: Readonly<Record<string, number | null>>;
  /** The same of always predicting the majority. */
  readonly baseline: Readonly<Record<string, number | null>>;
  /** Bootstrap intervals of the metrics, and their confidence; absent where there are none. */
  readonly intervals?: z.infer<typeof intervalsSchema>;
  /** In the order of the model's outputs; empty where the report has none. */
  readonly criteria: readonly (CriterionResult & { readonly name: string })[];
}

/** The result in a parsed summary report, or why it cannot be shown. */
export function testResultOf(summary: unknown): TestResult | { missing: string } {
  const parsed = summarySchema.safeParse(summary);
  if (!parsed.success) return { missing: "summary_report.json is damaged: deno task evaluate writes it anew." };
  const { test, baseline, test_details } = parsed.data;
  const criteria = Object.entries(test_details?.criteria.per_criterion ?? {}).map(([name, one]) => ({ ...one, name }));
  return {
    metrics: test,
    baseline,
    criteria,
    ...(test_details?.intervals ? { intervals: test_details.intervals } : {}),
  };
}
