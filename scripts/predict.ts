/** `deno task predict`: criteria and evidence of texts, as they come. */
import { PREDICT_HELP } from "../lib/cli/help.ts";
import { DEFAULT_CONFIG, parsePredictOptions, type PredictOptions } from "../lib/cli/options.ts";
import { writeResult, writeStream } from "../lib/cli/output.ts";
import { predictionText } from "../lib/cli/prediction_text.ts";
import { runCommand } from "../lib/cli/run.ts";
import { formatOf, gatherTexts, readTexts, type TextSource } from "../lib/cli/texts.ts";
import { loadConfig } from "../lib/config/compose.ts";
import { openGpu } from "../lib/gpu/device.ts";
import { findModel } from "../lib/study/find_model.ts";
import { type PredictedText, predictTexts } from "../lib/study/predict.ts";
import { openCheckpointModel, openExportedModel, type StoredModel } from "../lib/study/stored_model.ts";
import { inputError } from "../lib/support/errors.ts";
import { maskSecrets } from "../lib/support/masking.ts";

/** For people, whoever reads stdout. */
const note = (text: string) => writeStream(2, maskSecrets(text) + "\n");

/** Between lines that tell how many texts are done. */
const PROGRESS_MS = 5000;

async function openModel({ model, config, overrides, studyId, trialId }: PredictOptions): Promise<StoredModel> {
  if (model !== undefined) return await openExportedModel(model);
  const { paths } = loadConfig({ file: config ?? DEFAULT_CONFIG, overrides });
  const choice = { ...(studyId === undefined ? {} : { studyId }), ...(trialId === undefined ? {} : { trialId }) };
  const found = await findModel(paths.experiments, choice, note);
  return await openCheckpointModel(found.checkpoints[0], found.config);
}

async function openSource({ input }: PredictOptions): Promise<TextSource> {
  if (input === undefined) {
    if (Deno.stdin.isTerminal()) note("reading a text from the terminal; Ctrl-D ends it");
    return { name: "stdin", stream: Deno.stdin.readable, format: "auto" };
  }
  try {
    return { name: input, stream: (await Deno.open(input)).readable, format: formatOf(input), id: input };
  } catch (cause) {
    if (!(cause instanceof Deno.errors.NotFound || cause instanceof Deno.errors.PermissionDenied)) throw cause;
    const reason = cause instanceof Deno.errors.NotFound ? "is not there" : "may not be read";
    throw inputError(`${input} ${reason}`, "Name a file with --input, or give the texts on stdin", { cause });
  }
}

/** A prediction as a line of JSON. */
function jsonLine({ text, prediction }: PredictedText, withText: boolean): string {
  const passage = ({ start, end }: { start: number; end: number }) => withText ? { text: text.slice(start, end) } : {};
  const criteria = prediction.criteria.map((one) => ({
    ...one,
    evidence: one.evidence.map((span) => ({ ...span, ...passage(span) })),
  }));
  return JSON.stringify({ ...prediction, criteria }) + "\n";
}

await runCommand({
  help: PREDICT_HELP,
  parse: (args) => parsePredictOptions(args, Deno.stdout.isTerminal()),
  interruption: { note: "interrupted", remedy: "" },
  async main(options, { signal }) {
    const source = await openSource(options);
    const model = await openModel(options);
    const predictor = await model.open(await openGpu());
    const colours = Deno.stdout.isTerminal() && !Deno.noColor;
    let done = 0, shown = performance.now();
    const chunks = gatherTexts(readTexts(source), { texts: 256, characters: 2 ** 20, patienceMs: 50, signal });
    for await (const predicted of predictTexts(model, predictor, chunks)) {
      const texts = predicted.map((one) =>
        options.json ? jsonLine(one, options.withText) : predictionText(one, { colours }) + "\n\n"
      );
      if (!await writeResult(texts.join(""))) return;
      done += predicted.length;
      if (performance.now() - shown < PROGRESS_MS) continue;
      shown = performance.now();
      note(`${done} texts`);
    }
    if (done === 0) note("no text was given");
  },
});
