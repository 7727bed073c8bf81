import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { configToYaml, loadConfig, withParams } from "../../lib/config/compose.ts";
import { WinnowError } from "../../lib/support/errors.ts";

const QUICKSTART = "configs/quickstart.yaml";
const METRICS = ["criteria_macro_f1", "criteria_micro_f1", "evidence_token_f1"];

/** Writes files into a fresh folder and returns it. */
function folderWith(files: Record<string, string>): string {
  const folder = Deno.makeTempDirSync({ prefix: "winnow_config_" });
  for (const [name, content] of Object.entries(files)) {
    Deno.mkdirSync(dirname(join(folder, name)), { recursive: true });
    Deno.writeTextFileSync(join(folder, name), content);
  }
  return folder;
}

/** The error of a configuration that must not load. */
function refusal(load: () => unknown): WinnowError {
  try {
    load();
  } catch (error) {
    assert.ok(error instanceof WinnowError, `expected a WinnowError but found ${error}`);
    assert.equal(error.kind, "input");
    assert.notEqual(error.remedy, "");
    return error;
  }
  assert.fail("expected the configuration to be refused");
}

Deno.test("every configuration of the project resolves and its values are where the files put them", () => {
  const quickstart = loadConfig({ file: QUICKSTART, knownMetrics: METRICS });
  assert.equal(quickstart.model.id, "random");
  assert.equal(quickstart.model.encoder?.hidden_size, 64);
  assert.equal(quickstart.data.criteria.length, 9);
  assert.equal(quickstart.retention.save_every_steps, null);
  assert.ok(Object.keys(quickstart.search_space).length >= 3);
  const tweets = loadConfig({ file: "configs/tweet_minilm.yaml", knownMetrics: METRICS });
  assert.deepEqual([tweets.model.id, tweets.data.id, tweets.data.criteria], [".cache/minilm", ".cache/tweets", "auto"]);
  assert.equal(tweets.model.encoder, null);
});

Deno.test("every group file resolves when an override chooses it", () => {
  for (const group of ["model", "data", "training", "search_space", "retention_policy"]) {
    for (const { name } of Deno.readDirSync(`configs/${group}`)) {
      const key = group === "retention_policy" ? "retention" : group;
      // The full space asks for pretrained weights and for models of translation.
      const needed = `${group}/${name}` === "search_space/full.yaml"
        ? ["model=bert_base", "augmentation=back_translation"]
        : [];
      loadConfig({ file: QUICKSTART, overrides: [`${key}=${name.replace(".yaml", "")}`, ...needed] });
    }
  }
});

Deno.test("a group chosen on the command line replaces the one of the defaults list", () => {
  const config = loadConfig({ file: QUICKSTART, overrides: ["model=bert_base"] });
  assert.equal(config.model.id, "google-bert/bert-base-uncased");
  assert.equal(config.model.encoder, null);
});

Deno.test("model.encoder is null with any model but `random`", () => {
  const config = loadConfig({ file: QUICKSTART, overrides: ["model.id=some/folder"] });
  assert.equal(config.model.encoder, null);
});

Deno.test("_self_ decides what the file's own values win over; without it they win over everything", () => {
  const folder = folderWith({
    "early.yaml":
      "defaults: [base, _self_, training: mine, model: random_small]\ntraining: { epochs: 7, batch_size: 4 }",
    "late.yaml": "defaults: [base, training: mine, model: random_small]\ntraining: { epochs: 7, batch_size: 4 }",
    "training/mine.yaml": "epochs: 9",
  });
  const early = loadConfig({ file: join(folder, "early.yaml") });
  assert.deepEqual([early.training.epochs, early.training.batch_size], [9, 4]);
  const late = loadConfig({ file: join(folder, "late.yaml") });
  assert.deepEqual([late.training.epochs, late.training.batch_size], [7, 4]);
});

Deno.test("a user's file outside the project builds on the project's", () => {
  const folder = folderWith({ "mine.yaml": "defaults: [quickstart]\nstudy: { n_trials: 2 }" });
  assert.equal(loadConfig({ file: join(folder, "mine.yaml") }).study.n_trials, 2);
});

Deno.test("a group's file may build on another of its group, and on one of another group", () => {
  const folder = folderWith({
    "mine.yaml": "defaults: [base, { model: larger }, _self_]\nmodel: { criteria_dropout: 0.3 }",
    "model/larger.yaml":
      "defaults: [random_small, { /training: slow }]\nencoder: { hidden_size: 128 }\ncriteria_dropout: 0.2",
    "training/slow.yaml": "learning_rate: 1.0e-6",
  });
  const { model, training } = loadConfig({ file: join(folder, "mine.yaml") });
  assert.deepEqual([model.encoder?.hidden_size, model.encoder?.num_hidden_layers], [128, 2]);
  assert.deepEqual([model.criteria_dropout, training.learning_rate], [0.3, 1e-6]);
  const beside = folderWith({
    "mine.yaml": "defaults: [base, { model: a }]",
    "model/a.yaml": "defaults: [{ training: full }]",
  });
  assert.match(
    refusal(() => loadConfig({ file: join(beside, "mine.yaml") })).remedy,
    /Write "\/training: full" to take a file of another group/,
  );
});

Deno.test("`override` chooses another file for a group of an included list; the command line wins over it", () => {
  const folder = folderWith({
    "mine.yaml": "defaults: [quickstart, { override model: minilm }, { override retention_policy@retention: none }]",
    "retention_policy/none.yaml": "{ keep_last_n: 1, keep_best_k: 7, keep_best_k_max: 9 }",
  });
  const { model, retention } = loadConfig({ file: join(folder, "mine.yaml") });
  assert.deepEqual([model.encoder, retention.keep_best_k], [null, 7]);
  // random_small, which it stands in place of, is not merged.
  assert.equal(model.hidden_dropout, null);
  const chosen = loadConfig({ file: join(folder, "mine.yaml"), overrides: ["model=bert_base"] });
  assert.equal(chosen.model.id, "google-bert/bert-base-uncased");
});

Deno.test("the command line adds groups and axes, names the key of a group, and takes entries out", () => {
  const folder = folderWith({
    "mine.yaml": "defaults: [base]\nmodel: { id: x }",
    "loss/focal.yaml": "loss_function: focal",
  });
  const added = loadConfig({
    file: join(folder, "mine.yaml"),
    overrides: [
      ...["+loss=focal", "+search_space=tweet_minilm", "++training.epochs=9"],
      ...["~search_space.training.learning_rate", "+search_space.seed={type: int, low: 1, high: 3}"],
      ...["study.pruner=median", "+study.pruner_options.n_min_trials=2"],
    ],
  });
  assert.deepEqual([added.loss.loss_function, added.training.epochs], ["focal", 9]);
  assert.deepEqual(added.search_space, { seed: { type: "int", low: 1, high: 3 } });
  assert.deepEqual(added.study.pruner_options, { n_min_trials: 2 });
  const named = folderWith({
    "mine.yaml": "defaults: [quickstart]",
    "retention_policy/few.yaml": "{ keep_last_n: 1, keep_best_k: 0, save_every_steps: null }",
  });
  // Also what an included list names is looked for beside the user's file first.
  for (const group of ["retention", "retention_policy@retention"]) {
    const { retention } = loadConfig({ file: join(named, "mine.yaml"), overrides: [`${group}=few`] });
    assert.equal(retention.keep_best_k, 0, group);
  }
});

Deno.test("what is searched under conditions is kept as it is written, and read back from its YAML", () => {
  const overrides = [
    "search_space.training.epochs={type: int, low: 1, high: 3, when: {model.criteria_head_type: {not: mlp}}}",
  ];
  const config = loadConfig({ file: QUICKSTART, overrides });
  assert.deepEqual(config.search_space["training.epochs"], {
    ...{ type: "int", low: 1, high: 3 },
    when: { "model.criteria_head_type": { not: "mlp" } },
  });
  const folder = folderWith({ "mine.yaml": configToYaml(config) });
  assert.deepEqual(loadConfig({ file: join(folder, "mine.yaml") }), config);
});

Deno.test("override values are YAML, and text where the key takes text", () => {
  const { data, study, paths, training, model, search_space } = loadConfig({
    file: QUICKSTART,
    overrides: [
      "data.criteria=[JOY, 'NO']",
      "study.name=007",
      "paths.experiments=/tmp/a b #1: c",
      "training.early_stopping=null",
      "training.learning_rate=1e-2",
      "model.hidden_dropout=0",
      'model.revision="null"',
      "search_space.training.batch_size=null",
      "search_space.training.epochs={type: int, low: 1, high: 3}",
    ],
  });
  assert.deepEqual(data.criteria, ["JOY", "NO"]);
  assert.equal(study.name, "007");
  assert.equal(paths.experiments, "/tmp/a b #1: c");
  assert.equal(training.early_stopping, null);
  assert.equal(training.learning_rate, 0.01);
  assert.equal(model.hidden_dropout, 0);
  assert.equal(model.revision, "null");
  assert.equal(search_space["training.batch_size"], undefined);
  assert.deepEqual(search_space["training.epochs"], { type: "int", low: 1, high: 3 });
  assert.ok(search_space["training.learning_rate"]);
});

Deno.test("how posts are put before the model may be searched, and trials get what they draw", () => {
  const axes = {
    "data.input_format": "{type: categorical, choices: [multi_label, binary_pairs]}",
    "data.doc_stride": "{type: categorical, choices: [null, 0, 16]}",
    "data.max_length": "{type: int, low: 64, high: 128, step: 32}",
    "data.window_aggregation": "{type: categorical, choices: [max, mean]}",
  };
  const overrides = Object.entries(axes).map(([key, axis]) => `search_space.${key}=${axis}`);
  const config = loadConfig({ file: QUICKSTART, overrides });
  assert.deepEqual(withParams(config, { "data.doc_stride": 16, "data.input_format": "binary_pairs" }).data, {
    ...config.data,
    doc_stride: 16,
    input_format: "binary_pairs",
  });
  // What each allows by itself may not go together: the trial says so.
  assert.match(
    refusal(() => withParams(config, { "data.doc_stride": 80, "data.max_length": 64 })).message,
    /at most 62 of data\.max_length 64 .* but found 80 \(trial parameters\)/,
  );
});

Deno.test("criterion texts are merged label by label, and a file of its own may hold them", () => {
  const folder = folderWith({
    "mine.yaml": "defaults: [quickstart]\ndata: { criterion_texts: { FATIGUE: no energy } }",
  });
  const { data } = loadConfig({
    file: join(folder, "mine.yaml"),
    overrides: ["data.criterion_texts.ANHEDONIA=no joy"],
  });
  assert.deepEqual(data.criterion_texts, { FATIGUE: "no energy", ANHEDONIA: "no joy" });
  const none = loadConfig({ file: join(folder, "mine.yaml"), overrides: ["data.criterion_texts=null"] });
  assert.equal(none.data.criterion_texts, null);
});

Deno.test("an empty search space takes every axis out", () => {
  assert.deepEqual(loadConfig({ file: QUICKSTART, overrides: ["search_space={}"] }).search_space, {});
});

Deno.test("withParams sets the drawn values, leaves its argument alone and checks the result", () => {
  const config = loadConfig({ file: QUICKSTART });
  const before = configToYaml(config);
  const trial = withParams(config, { "training.learning_rate": 2e-3, "model.criteria_pooling": "mean" });
  assert.deepEqual([trial.training.learning_rate, trial.model.criteria_pooling], [2e-3, "mean"]);
  assert.equal(configToYaml(config), before);
  assert.match(refusal(() => withParams(config, { "training.lr": 1 })).message, /unknown key "training.lr"/);
  assert.match(
    refusal(() => withParams(config, { "model.encoder.num_attention_heads": 5 })).message,
    /to divide model.encoder.hidden_size 64 but found 5 \(trial parameters\)/,
  );
});

/** Overrides of the quickstart beside the whole message. */
const BAD_OVERRIDES: [string[], string][] = [
  [
    ["training.lerning_rate=1"],
    'unknown key "training.lerning_rate" (command line); did you mean "training.learning_rate"?',
  ],
  [["batch_size=8"], 'unknown key "batch_size" (command line); did you mean "training.batch_size"?'],
  [["zzz.qqq=8"], 'unknown key "zzz.qqq" (command line)'],
  [["__proto__.polluted=1"], 'unknown key "__proto__.polluted" (command line)'],
  [["seed.x=1"], 'unknown key "seed.x" (command line); did you mean "seed"?'],
  [
    ["training.epochs=three"],
    'Expected training.epochs to be an integer from 1 to 10000 but found "three" (command line)',
  ],
  [["training.epochs=2.5"], "Expected training.epochs to be an integer from 1 to 10000 but found 2.5 (command line)"],
  [
    ["training.learning_rate=.inf"],
    "Expected training.learning_rate to be a number greater than 0 and at most 1 but found Infinity (command line)",
  ],
  [
    ["model.criteria_pooling=maxx"],
    'Expected model.criteria_pooling to be one of cls, mean, max, attention, last_2_layer_mix but found "maxx" ' +
    '(command line); did you mean "max"?',
  ],
  [
    ["model.hidden_dropout=1"],
    "Expected model.hidden_dropout to be a number at least 0 and less than 1 or null but found 1 (command line)",
  ],
  [
    ["model.encoder.hidden_size=66"],
    "Expected model.encoder.hidden_size to be an integer divisible by 4 from 4 to 8192 but found 66 (command line)",
  ],
  [
    ["model.encoder.num_attention_heads=5"],
    "Expected model.encoder.num_attention_heads to divide model.encoder.hidden_size 64 but found 5 (command line)",
  ],
  [
    ["data.max_length=1024"],
    "Expected data.max_length to be at most model.encoder.max_position_embeddings 512 but found 1024 (command line)",
  ],
  [
    ["data.criteria=[A, 1]"],
    'Expected data.criteria to be auto or a non-empty list of texts but found ["A",1] (command line)',
  ],
  [["data.criteria=[A, A]"], 'Expected data.criteria to name each criterion once but found "A" twice (command line)'],
  [
    ["data.doc_stride=94"],
    "Expected data.doc_stride to be less than the tokens of a post in a window, at most 94 of data.max_length 96 beside " +
    "special tokens, but found 94 (command line)",
  ],
  [
    ["data.input_format=binary_pairs", "data.doc_stride=92"],
    "Expected data.doc_stride to be less than the tokens of a post in a window, at most 92 of data.max_length 96 beside " +
    "special tokens and the text of a criterion, but found 92 (command line)",
  ],
  [
    ["data.input_format=binary_pairs", "data.max_length=4"],
    "Expected data.max_length to leave room for a post beside special tokens and the text of a criterion but found 4 " +
    "(command line)",
  ],
  [
    ["data.doc_stride=-1"],
    "Expected data.doc_stride to be an integer from 0 to 65535 or null but found -1 (command line)",
  ],
  [
    ["data.window_aggregation=sum"],
    'Expected data.window_aggregation to be one of max, mean but found "sum" (command line)',
  ],
  [
    ["data.criterion_texts={ANHEDONIA: ok, ANHEDONNIA: typo}"],
    'Expected data.criterion_texts to have texts for labels of data.criteria but found "ANHEDONNIA" (command line); ' +
    'did you mean "ANHEDONIA"?',
  ],
  [
    ["data.criterion_texts.FATIGUE=' '"],
    'Expected data.criterion_texts.FATIGUE to be a text but found " " (command line)',
  ],
  [
    ["data.criterion_texts=tired"],
    'Expected data.criterion_texts to be a mapping or null but found "tired" (command line)',
  ],
  [
    ["data.splits={declared: true, validation: 0.5, test: 0.5, seed: 1}"],
    "Expected data.splits.validation + data.splits.test to be less than 1 but found 0.5 + 0.5 (command line)",
  ],
  [
    ["training.lambda_class=0", "training.lambda_span=0"],
    "Expected training.lambda_class or training.lambda_span to be greater than 0 but found 0 and 0 (command line)",
  ],
  [
    ["retention.keep_last_n=0", "retention.keep_best_k=0"],
    "Expected retention.keep_last_n + retention.keep_best_k to be at least 1, so that a checkpoint remains, " +
    "but found 0 (command line)",
  ],
  [
    ["study.metric=criteria_macro_f2"],
    "Expected study.metric to be one of criteria_macro_f1, criteria_micro_f1, evidence_token_f1 but found " +
    '"criteria_macro_f2" (command line); did you mean "criteria_macro_f1"?',
  ],
  [
    ["training.early_stopping={patience: 2}"],
    'missing key "training.early_stopping.min_delta", a number at least 0 (command line)',
  ],
  [
    ["model.encoder=null"],
    "Expected model.encoder to describe an architecture, since model.id is random, but found null (command line)",
  ],
  [
    ["model=bert_bse"],
    'there is no model/bert_bse.yaml for the defaults list (command line); did you mean "bert_base"?',
  ],
  [["study=mine"], 'the defaults list of configs/quickstart.yaml has no group "study" for study=mine'],
  [["training.epochs"], 'expected an override to be key=value but found "training.epochs"'],
  [["training.epochs="], 'expected an override to be key=value but found "training.epochs="'],
  [["training.epochs=["], "not readable as YAML: Flow sequence must end with a ] (command line, training.epochs)"],
  [
    ["data.splits={&a validation: 0.1, test: *a}"],
    "YAML aliases are not allowed (command line, data.splits)",
  ],
  [["data.splits={__proto__: 1}"], 'the key "__proto__" is not allowed (command line, data.splits)'],
  [["data.splits={1: 1}"], "expected keys to be texts but found 1 (command line, data.splits)"],
  [
    ["seed=!!js/function x"],
    "not readable as YAML: Unresolved tag: tag:yaml.org,2002:js/function (command line, seed)",
  ],
];

for (const [overrides, message] of BAD_OVERRIDES) {
  Deno.test(`refuses ${overrides.join(" ")}`, () => {
    assert.equal(refusal(() => loadConfig({ file: QUICKSTART, overrides, knownMetrics: METRICS })).message, message);
  });
}

/** A key and the distribution that the search space gives it, beside the start of the message. */
const BAD_AXES: [string, string, string][] = [
  [
    "training.epoch",
    "{type: int, low: 1, high: 2}",
    'unknown key "training.epoch" in search_space (command line); did you mean "training.epochs"?',
  ],
  ["training", "{type: int, low: 1, high: 2}", "search_space cannot vary all of training"],
  [
    "data.splits.seed",
    "{type: int, low: 1, high: 2}",
    "search_space cannot vary data.splits.seed: the trials of a study share it (model, loss, tuning, training, augmentation, seed, " +
    "data.input_format, data.max_length, data.doc_stride and data.window_aggregation may vary)",
  ],
  [
    "data.criterion_texts",
    "{type: categorical, choices: [a, b]}",
    "search_space cannot vary all of data.criterion_texts",
  ],
  [
    "data.criterion_texts.FATIGUE",
    "{type: categorical, choices: [a, b]}",
    "search_space cannot vary data.criterion_texts.FATIGUE",
  ],
  [
    "training.epochs",
    "{type: uniform, low: 1, high: 2}",
    "Expected search_space.training.epochs.type to be one of float, int, categorical but found",
  ],
  ["training.epochs", "{type: int, low: 1}", 'missing key "search_space.training.epochs.high", an integer'],
  [
    "training.epochs",
    "{type: int, low: 3, high: 2}",
    "Expected low of search_space.training.epochs to be at most high but found 3 and 2",
  ],
  [
    "training.epochs",
    "{type: int, low: 0, high: 2}",
    "Expected training.epochs to be an integer from 1 to 10000 but search_space has 0",
  ],
  [
    "training.epochs",
    "{type: float, low: 1, high: 2}",
    "Expected training.epochs to be an integer from 1 to 10000 but search_space draws it with type float",
  ],
  [
    "training.weight_decay",
    "{type: float, low: 0, high: 0.1, log: true}",
    "Expected low of search_space.training.weight_decay to be greater than 0 for log: true but found 0",
  ],
  [
    "training.weight_decay",
    "{type: float, low: 0.01, high: 0.1, log: true, step: 0.01}",
    "Expected step or log: true of search_space.training.weight_decay but found both",
  ],
  [
    "model.criteria_pooling",
    "{type: categorical, choices: [cls, maxx]}",
    'Expected model.criteria_pooling to be one of cls, mean, max, attention, last_2_layer_mix but search_space has "maxx"',
  ],
  [
    "training.batch_size",
    "{type: categorical, choices: [8, 8]}",
    "Expected choices of search_space.training.batch_size to differ but found 8 twice",
  ],
  [
    "training.early_stopping.patience",
    "{type: int, low: 1, high: 2}",
    "search_space cannot vary training.early_stopping.patience: training.early_stopping is null",
  ],
];

for (const [key, distribution, message] of BAD_AXES) {
  Deno.test(`refuses to search ${key} in ${distribution}`, () => {
    const overrides = ["training.early_stopping=null", `search_space.${key}=${distribution}`];
    const found = refusal(() => loadConfig({ file: QUICKSTART, overrides })).message;
    assert.equal(found.slice(0, message.length), message);
    assert.match(found, /\(command line\)/);
  });
}

Deno.test("each problem has its line, and each line the file that the value is from", () => {
  const folder = folderWith({
    "mine.yaml": "defaults: [quickstart, training: mine, _self_]\nseed: -1\ndata: { max_lenght: 3 }",
    "training/mine.yaml": "epochs: many",
  });
  const lines = refusal(() => loadConfig({ file: join(folder, "mine.yaml"), overrides: ["gpu.preset=x"] }))
    .message.replaceAll(folder, "F").split("\n");
  assert.deepEqual(lines.sort(), [
    'Expected gpu.preset to be one of auto, broadcast, tiled but found "x" (command line)',
    "Expected seed to be an integer at least 0 but found -1 (F/mine.yaml)",
    'Expected training.epochs to be an integer from 1 to 10000 but found "many" (F/training/mine.yaml)',
    'unknown key "data.max_lenght" (F/mine.yaml); did you mean "data.max_length"?',
  ]);
});

/** Files of a folder whose `mine.yaml` must be refused with a message that matches. */
const BAD_FILES: [string, Record<string, string>, RegExp][] = [
  ["no file", {}, /^there is no configuration file/],
  ["a folder", { "mine.yaml/x": "" }, /is not a file$/],
  ["no defaults list", { "mine.yaml": "seed: 1" }, /^\d+ keys are missing, .*; add "defaults: \[base\]"/],
  ["a list", { "mine.yaml": "- 1" }, /^expected a mapping of keys at the top of/],
  ["defaults that is no list", { "mine.yaml": "defaults: base" }, /^expected defaults to be a list/],
  ["a path in the defaults", { "mine.yaml": "defaults: [../../etc/passwd]" }, /^expected an entry of defaults to be/],
  ["a path as a group", { "mine.yaml": "defaults: [../model: x]" }, /^expected an entry of defaults to be/],
  ["an unknown default", { "mine.yaml": "defaults: [bsae]" }, /^there is no bsae.yaml .*did you mean "base"\?$/],
  [
    "a circle",
    { "mine.yaml": "defaults: [other]", "other.yaml": "defaults: [mine]" },
    /^the defaults lists include .*mine.yaml in a circle: .*mine.yaml -> .*other.yaml -> .*mine.yaml$/,
  ],
  ["a duplicate key", { "mine.yaml": "defaults: [quickstart]\nseed: 1\nseed: 2" }, /Map keys must be unique .*:3\)$/],
  ["an unclosed bracket", { "mine.yaml": "a: 1\nseed: [" }, /^not readable as YAML: .*:2\)$/],
  ["dotted keys", { "mine.yaml": "defaults: [quickstart]\ntraining.epochs: 2" }, /^unknown key "training.epochs"/],
  ["a prototype key", { "mine.yaml": "constructor: 1" }, /^the key "constructor" is not allowed/],
  [
    "a YAML bomb",
    { "mine.yaml": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]" },
    /^YAML aliases are not allowed .*:2\)$/,
  ],
  ["a huge file", { "mine.yaml": "# ".repeat(50_000) }, /has 100000 bytes, at most 65536 are read$/],
  ["deep nesting", { "mine.yaml": "a: " + "[".repeat(60_000) }, /^not readable as YAML/],
];

for (const [name, files, message] of BAD_FILES) {
  Deno.test(`refuses a file with ${name}`, () => {
    const folder = folderWith(files);
    assert.match(refusal(() => loadConfig({ file: join(folder, "mine.yaml") })).message, message);
  });
}

Deno.test("a refused key never reaches the object prototype", () => {
  refusal(() => loadConfig({ file: QUICKSTART, overrides: ["data.splits={__proto__: {polluted: 1}}"] }));
  assert.equal(({} as Record<string, unknown>).polluted, undefined);
});

Deno.test("text that is not UTF-8 is refused", () => {
  const folder = Deno.makeTempDirSync();
  Deno.writeFileSync(join(folder, "mine.yaml"), new Uint8Array([0x61, 0xff, 0xfe]));
  assert.match(refusal(() => loadConfig({ file: join(folder, "mine.yaml") })).message, /is not UTF-8 text$/);
});
