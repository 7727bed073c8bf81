/** What `deno task predict` says of one text. `contracts/prediction.schema.json` is generated from the schema here. */
import { z } from "zod";

/** The schema of one line of `deno task predict --json`. */
export const predictionSchema = z.strictObject({
  id: z.union([z.string(), z.number()]).nullable().describe("as it was given with the text"),
  windows: z.int().min(1).describe("windows that the text was read in"),
  truncated_tokens: z.int().min(0).describe("tokens at the end of the text that the model has not seen"),
  criteria: z.array(z.strictObject({
    criterion: z.string(),
    probability: z.number().min(0).max(1),
    threshold: z.number().min(0).max(1),
    present: z.boolean().describe("whether probability ≥ threshold"),
    evidence: z.array(z.strictObject({
      start: z.int().min(0).describe("first UTF-16 unit of the text"),
      end: z.int().min(0).describe("behind the last: text.slice(start, end) is the evidence"),
      score: z.number().describe("how much more likely than no evidence the model holds it"),
      text: z.string().optional().describe("the passage itself, with --with-text"),
    })).describe("best first, whether or not the criterion is present"),
  })).describe("in the order of the model's outputs"),
}).meta({
  title: "Winnow prediction",
  description: "One line of `deno task predict --json`: the criteria that a text meets, and where the evidence stands.",
});

/** What is said of one text. */
export type TextPrediction = z.infer<typeof predictionSchema>;
