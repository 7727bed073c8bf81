/** README.md of an exported model: what it is, how well it does, what it is for and what not. No text of a post is in it. */
import type { ModelRecord } from "./model_schema.ts";
import { formatMetric } from "./study_table.ts";

/** What is beside the record in a card. */
export interface CardDetails {
  /** The class of `transformers` that the encoder is. */
  readonly architecture: string;
  /** What of the encoder was trained. */
  readonly tuning: string;
}

/** A text as Markdown shows it, on one line and within a table. */
const plain = (text: string) => text.replace(/\s+/g, " ").replace(/[\\`*_{}[\]<>#|]/g, "\\$&");
const code = (text: string) => `\`${text.replace(/[\s`]+/g, " ").trim()}\``;

function licenseText({ id, license }: ModelRecord["trained"]["base"]): string {
  if (id === "random") return "The weights were initialised at random, so no other model's licence is concerned.";
  const base = license === null
    ? `The licence of the base model ${code(id)} is not known to Winnow: look it up before you pass these weights on.`
    : `The base model ${code(id)} is under the licence ${code(license)}.`;
  return `${base} Weights trained on top of it are subject to it, and to the terms of the training data.`;
}

function baseText({ base }: ModelRecord["trained"], tuning: string): string {
  const trained = tuning === "full" ? "" : `, trained in part (${tuning}) and merged`;
  if (base.id === "random") return `random initialisation${trained}`;
  return `${code(base.id)}${
    base.revision === "local" ? ", a local folder" : `, revision ${code(base.revision)}`
  }${trained}`;
}

/** Metrics side by side, and where test figures are missing a sentence that says so. */
function metricsText({ metrics }: ModelRecord): string {
  const { validation, test, baseline, metric } = metrics;
  const names = [...new Set([metric, ...Object.keys(test ?? {}), ...Object.keys(validation)])];
  const columns = [
    { title: "validation", values: validation },
    ...(test ? [{ title: "test", values: test }] : []),
    ...(test && baseline ? [{ title: "majority baseline (test)", values: baseline }] : []),
  ];
  const rows = names.map((name) =>
    `| ${code(name)} | ${columns.map(({ values }) => formatMetric(values[name])).join(" | ")} |`
  );
  return [
    `| metric | ${columns.map(({ title }) => title).join(" | ")} |`,
    `| --- |${" ---: |".repeat(columns.length)}`,
    ...rows,
    "",
    `The checkpoint was chosen by ${
      code(metric)
    } on the validation split, and the thresholds too, so the validation figures are flattered.` +
    (test ? "" : " **It has not been evaluated on the test split**: there is no honest figure yet."),
  ].join("\n");
}

function dataText({ data }: ModelRecord): string {
  if (!data) return "The trial's report is missing: what it was trained on is not known.";
  const posts = Object.entries(data.posts).map(([split, count]) => `${count} ${split}`).join(", ");
  return [
    `- data: ${code(data.id)}${data.revision === null ? "" : `, revision ${code(data.revision)}`}; posts: ${posts}`,
    `- SHA-256 of criteria, ids, texts, labels and evidence: \`${data.sha256}\``,
    `- SHA-256 of the splits: \`${data.split_sha256}\``,
  ].join("\n");
}

/** YAML's front matter, which the Hugging Face hub reads. */
function frontMatter({ trained: { base } }: ModelRecord): string {
  const isHub = base.revision !== "local" && base.id !== "random";
  return [
    "---",
    "library_name: transformers",
    `license: ${base.license ?? (base.id === "random" ? "other" : "unknown")}`,
    ...(isHub ? [`base_model: ${JSON.stringify(base.id)}`] : []),
    "tags: [winnow, text-classification, evidence-extraction]",
    "---",
  ].join("\n");
}

/** The card of a model. */
export function modelCard(record: ModelRecord, { architecture, tuning }: CardDetails): string {
  const { criteria, input, trained, thresholds, version } = record;
  const pool = architecture === "DistilBertModel" ? "" : ", add_pooling_layer=False";
  const length = input.doc_stride === null
    ? `at most ${input.max_length} tokens; what is longer is cut off`
    : `windows of ${input.max_length} tokens that share ${input.doc_stride}; of their probabilities the ` +
      `${input.window_aggregation}`;
  return `${frontMatter(record)}

# Winnow model of trial ${trained.trial_number}

An encoder with two heads, trained by Winnow ${version}: one says which of ${criteria.length} criteria a text meets, the other where
in the text the evidence stands.

- base: ${baseText(trained, tuning)}
- inputs: ${code(input.input_format)}, ${length}
- trial ${code(trained.trial_id)} of study ${code(trained.study_id)}, epoch ${trained.epoch}, step ${trained.step}

## Use

\`\`\`sh
echo "…" | deno task predict --model DIR
\`\`\`

The encoder alone in Python (the heads are in \`model.safetensors\` too, as \`criteria_head.*\` and \`evidence_head.*\`; their form
stands in \`winnow.json\`):

\`\`\`python
from transformers import AutoModel, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("DIR")
model = AutoModel.from_pretrained("DIR"${pool})
\`\`\`

## Criteria

A criterion is present where its probability reaches the threshold.

| criterion | threshold |
| --- | ---: |
${criteria.map((criterion) => `| ${plain(criterion)} | ${thresholds[criterion]!.toFixed(3)} |`).join("\n")}

## Figures

${metricsText(record)}

## Training data

${dataText(record)}

## Intended use and limits

For research on texts like those that it was trained on, and for people who look at what it finds. **It makes no diagnosis**: that
a text meets a criterion says nothing certain about who wrote it, and the lack of one is no sign of health. Do not decide about
a person by it, and do not use it where somebody may be in danger without a person who reads the text. Its probabilities, and
who it is wrong about, were measured on the data above alone: other authors, forums, languages and years will differ. What it
was trained on may be partly restored from its weights: treat them as carefully as the data.

## Licence

${licenseText(trained.base)}
`;
}
