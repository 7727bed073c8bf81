import assert from "node:assert/strict";
import {
  parseCleanupOptions,
  parseDataOptions,
  parseEvaluateOptions,
  parseExportOptions,
  parsePredictOptions,
  parseProfileOptions,
  parseReportOptions,
  parseResumeOptions,
  parseTrainOptions,
} from "../../lib/cli/options.ts";
import { WinnowError } from "../../lib/support/errors.ts";

Deno.test("train: defaults, all options, overrides in order", () => {
  assert.deepEqual(parseTrainOptions([]), {
    json: false,
    overrides: [],
    config: "configs/quickstart.yaml",
    mode: "hpo",
    cfg: false,
    samples: 3,
  });
  assert.deepEqual(
    parseTrainOptions(["seed=1", "--config=a.yaml", "--mode", "dry-run", "--json", "data.criteria=[A, B=C]", "seed=2"]),
    {
      json: true,
      overrides: ["seed=1", "data.criteria=[A, B=C]", "seed=2"],
      config: "a.yaml",
      mode: "dry-run",
      cfg: false,
      samples: 3,
    },
  );
  const { cfg, samples, overrides } = parseTrainOptions(["--cfg", "--mode=dry-run", "--samples", "12", "~a.b", "+c=d"]);
  assert.deepEqual([cfg, samples, overrides], [true, 12, ["~a.b", "+c=d"]]);
});

Deno.test("resume and evaluate take ids and leave out what is not given", () => {
  assert.deepEqual(parseResumeOptions([]), { json: false, overrides: [] });
  assert.deepEqual(parseResumeOptions(["--study-id", "4f1c-2", "--config", "a.yaml"]), {
    json: false,
    overrides: [],
    studyId: "4f1c-2",
    config: "a.yaml",
  });
  assert.deepEqual(parseEvaluateOptions(["--trial-id=t1", "--json"]), {
    ...{ json: true, overrides: [], trialId: "t1" },
    split: "test",
  });
  assert.deepEqual(parseEvaluateOptions(["--study-id", "s", "paths.experiments=e"]), {
    json: false,
    overrides: ["paths.experiments=e"],
    studyId: "s",
    split: "test",
  });
});

Deno.test("profile: steps and length are counted from 1", () => {
  const defaults = { json: false, overrides: [], config: "configs/quickstart.yaml", steps: 5 };
  assert.deepEqual(parseProfileOptions([]), defaults);
  assert.deepEqual(
    parseProfileOptions(["--steps", "7", "--length=48", "--trace", "t.json", "--config", "a.yaml", "--json", "seed=1"]),
    { json: true, overrides: ["seed=1"], config: "a.yaml", steps: 7, length: 48, trace: "t.json" },
  );
  for (const argument of ["--steps=0", "--steps=1.5", "--length=-3", "--steps=10000"]) {
    const name = argument.split("=")[0]!;
    assert.throws(() => parseProfileOptions([argument]), {
      name: "WinnowError",
      message: new RegExp(`Expected ${name} to be an integer from 1 to 9999`),
    });
  }
  assert.throws(() => parseProfileOptions(["--trace="]), /option --trace needs a value/);
});

Deno.test("data: a configuration and settings", () => {
  assert.deepEqual(parseDataOptions([]), { json: false, overrides: [], config: "configs/quickstart.yaml" });
  assert.deepEqual(parseDataOptions(["--json", "--config", "a.yaml", "data.id=x"]), {
    json: true,
    overrides: ["data.id=x"],
    config: "a.yaml",
  });
});

Deno.test("predict: JSON where nobody looks, one model, and no settings beside a folder", () => {
  const json = (args: string[], isTerminal: boolean) => parsePredictOptions(args, isTerminal).json;
  assert.deepEqual(
    [json([], true), json([], false), json(["--text"], false), json(["--json"], true)],
    [false, true, false, true],
  );
  const refused = (args: string[], message: RegExp) =>
    assert.throws(() => parsePredictOptions(args, true), { message });
  refused(["--model", "m", "--trial-id", "t"], /^--trial-id and --model name different models$/);
  refused(["--model", "m", "paths.experiments=x"], /^paths\.experiments=x says nothing about the folder of --model$/);
  refused(["--json", "--text"], /exclude each other$/);
  refused(["--inptu", "x"], /did you mean --input\?$/);
});

const BAD: [(args: string[]) => unknown, string[], RegExp][] = [
  [parseTrainOptions, ["--confg", "x"], /^unknown option --confg; did you mean --config\?$/],
  [parseTrainOptions, ["--zzzzzz"], /^unknown option --zzzzzz$/],
  [parseTrainOptions, ["-x"], /^unknown option -x$/],
  [parseTrainOptions, ["--study-id", "x"], /^unknown option --study-id/],
  [parseTrainOptions, ["--config"], /^Option '--config <value>' needs a value$/],
  [parseTrainOptions, ["--config="], /^option --config needs a value$/],
  [parseTrainOptions, ["--config", "--json"], /^Option '--config' argument is ambiguous\.$/],
  [parseTrainOptions, ["--json=1"], /^Option '--json' does not take an argument$/],
  [parseTrainOptions, ["--mode", "fast"], /^Expected --mode to be one of single, hpo, dry-run but found "fast"$/],
  [parseTrainOptions, ["configs/x.yaml"], /^unexpected argument "configs\/x\.yaml"$/],
  [parseTrainOptions, ["--samples", "4"], /^--samples is for --mode dry-run but the mode is hpo$/],
  [
    parseTrainOptions,
    ["--mode=dry-run", "--samples", "-1"],
    /^Option '--samples' argument is ambiguous\.$/,
  ],
  [parseTrainOptions, ["--mode=dry-run", "--samples=x"], /^Expected --samples to be an integer from 0 to 9999 .* "x"$/],
  [parseTrainOptions, ["~"], /^unexpected argument "~"$/],
  [parseTrainOptions, ["=1"], /^unexpected argument "=1"$/],
  [parseResumeOptions, ["--study-id", "../x"], /^Expected --study-id to be an id but found "\.\.\/x"$/],
  [parseDataOptions, ["--mode", "hpo"], /^unknown option --mode/],
  [parseEvaluateOptions, [], /^Expected one of --study-id and --trial-id but found neither$/],
  [parseEvaluateOptions, ["--study-id", "a", "--trial-id", "b"], /but found both$/],
  [parseEvaluateOptions, ["--study-id", "a", "--split", "train"], /^Expected --split to be one of test, validation /],
  [parseExportOptions, ["--study-id", "a"], /^option --to is missing$/],
  [parseExportOptions, ["--to", "x"], /but found neither$/],
];

for (const [parse, args, message] of BAD) {
  Deno.test(`${parse.name} refuses ${JSON.stringify(args)}`, () => {
    assert.throws(() => parse(args), (error: unknown) => {
      assert.ok(error instanceof WinnowError && error.kind === "input" && error.remedy !== "");
      assert.match(error.message, message);
      return true;
    });
  });
}

Deno.test("cleanup: changes nothing unless told, ids and flags", () => {
  const { posts } = parseCleanupOptions(["--post", "s_1", "--post=a b/c", "--post", "s_1"]);
  assert.deepEqual(posts, ["s_1", "a b/c"]);
  assert.deepEqual(parseCleanupOptions([]), { json: false, overrides: [], execute: false, data: false });
  assert.deepEqual(
    parseCleanupOptions([
      "--execute",
      "--data",
      "--study-id",
      "abc",
      "--config",
      "c.yaml",
      "--json",
      "paths.experiments=x",
    ]),
    { json: true, overrides: ["paths.experiments=x"], execute: true, data: true, studyId: "abc", config: "c.yaml" },
  );
  for (
    const [args, message] of [[["--executed"], /unknown option --executed; did you mean --execute\?/], [
      ["--post="],
      /option --post needs a value/,
    ], [
      ["--post", "a", "--data"],
      /--post goes with neither --study-id nor --data/,
    ], [
      ["--study-id=../x"],
      /an id/,
    ]] as const
  ) {
    assert.throws(() => parseCleanupOptions(args), message);
  }
});

Deno.test("report: a study or the latest, text of posts only where it is asked for", () => {
  assert.deepEqual(parseReportOptions(["seed=1"]), { json: false, overrides: ["seed=1"], withText: false });
  assert.deepEqual(parseReportOptions(["--study-id", "a-1", "--with-text", "--config=b.yaml", "--json"]), {
    json: true,
    overrides: [],
    withText: true,
    studyId: "a-1",
    config: "b.yaml",
  });
  assert.throws(() => parseReportOptions(["--study-id", "../x"]), WinnowError);
  assert.throws(() => parseReportOptions(["--text"]), WinnowError);
});
