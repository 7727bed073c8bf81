/**
 * `deno task contracts`: writes contracts/*.schema.json from the zod schemas. With `--check` it writes nothing and fails
 * if a file is out of step.
 */
import { z } from "zod";
import { configSchema } from "../lib/config/schema.ts";
import { catalogSchema } from "../lib/report/catalog.ts";
import { dataReportSchema } from "../lib/report/data_report.ts";
import { modelRecordSchema } from "../lib/report/model_schema.ts";
import { predictionSchema } from "../lib/report/prediction.ts";
import { profileSchema } from "../lib/report/profile.ts";
import { evaluationReportSchema, summaryReportSchema } from "../lib/report/schema.ts";
import { thresholdsSchema } from "../lib/train/thresholds_file.ts";

/** Each contract's file in contracts/ and the schema that it is made from. */
export const contracts: Record<string, z.ZodType> = {
  "catalog.schema.json": catalogSchema,
  "config.schema.json": configSchema.meta({ title: "Winnow configuration" }),
  "data_report.schema.json": dataReportSchema,
  "evaluation_report.schema.json": evaluationReportSchema,
  "model.schema.json": modelRecordSchema,
  "prediction.schema.json": predictionSchema,
  "profile.schema.json": profileSchema,
  "summary_report.schema.json": summaryReportSchema,
  "thresholds.schema.json": thresholdsSchema,
};

/** The text of a contract: JSON Schema, draft 2020-12. */
export function contractText(schema: z.ZodType): string {
  return JSON.stringify(z.toJSONSchema(schema), null, 2) + "\n";
}

/** The file of a contract. */
export const contractFile = (name: string): URL => new URL(`../contracts/${name}`, import.meta.url);

if (import.meta.main) {
  for (const [name, schema] of Object.entries(contracts)) {
    const text = contractText(schema);
    if (!Deno.args.includes("--check")) {
      await Deno.writeTextFile(contractFile(name), text);
      console.log(`contracts/${name}`);
    } else if (await Deno.readTextFile(contractFile(name)).catch(() => "") !== text) {
      console.error(`contracts/${name} is out of step: run \`deno task contracts\``);
      Deno.exitCode = 1;
    }
  }
}
