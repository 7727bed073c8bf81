/**
 * Wrong configurations, each with what its message must say: the key, the value that was found, what is allowed, and the
 * name that was most likely meant where there is one near.
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { loadConfig } from "../../lib/config/compose.ts";
import { WinnowError } from "../../lib/support/errors.ts";

interface Wrong {
  /** What is wrong. */
  readonly what: string;
  readonly overrides?: readonly string[];
  /** Files beside `mine.yaml`, which is read in place of the quickstart where it is there. */
  readonly files?: Readonly<Record<string, string>>;
  readonly key: string;
  /** The value as the message shows it; null where there is none to show. */
  readonly value: string | null;
  readonly allowed: string | RegExp | null;
  /** The nearest name; null where none is near. */
  readonly near: string | null;
}

const mine = (content: string, more: Record<string, string> = {}) => ({ "mine.yaml": content, ...more });
const axis = (key: string, distribution: string) => [`search_space.${key}=${distribution}`];

const TABLE: readonly Wrong[] = [
  // unknown keys
  {
    what: "an unknown key",
    overrides: ["training.lerning_rate=1e-3"],
    key: "training.lerning_rate",
    value: null,
    allowed: null,
    near: "training.learning_rate",
  },
  {
    what: "a key without its group",
    overrides: ["batch_size=8"],
    key: "batch_size",
    value: null,
    allowed: null,
    near: "training.batch_size",
  },
  {
    what: "a key that was cut short",
    overrides: ["study.sampler_options.n_startup=3"],
    key: "study.sampler_options.n_startup",
    value: null,
    allowed: null,
    near: "study.sampler_options.n_startup_trials",
  },
  {
    what: "an unknown key of a file",
    files: mine("defaults: [quickstart]\nstudy: { n_trails: 3 }"),
    key: "study.n_trails",
    value: null,
    allowed: null,
    near: "study.n_trials",
  },
  {
    what: "an unknown group",
    overrides: ["optimizer=adam"],
    key: "optimizer",
    value: null,
    allowed: null,
    near: "training.optimizer",
  },
  { what: "a key under a value", overrides: ["seed.x=1"], key: "seed.x", value: null, allowed: null, near: "seed" },
  // wrong types
  {
    what: "a text for a number",
    overrides: ["training.epochs=three"],
    key: "training.epochs",
    value: '"three"',
    allowed: "an integer from 1 to 10000",
    near: null,
  },
  {
    what: "a fraction for a count",
    overrides: ["study.n_trials=2.5"],
    key: "study.n_trials",
    value: "2.5",
    allowed: "an integer from 1 to 100000",
    near: null,
  },
  {
    what: "a list for a value",
    overrides: ["training.learning_rate=[1e-3]"],
    key: "training.learning_rate",
    value: "[0.001]",
    allowed: "a number greater than 0 and at most 1",
    near: null,
  },
  {
    what: "a text for a truth value",
    overrides: ["model.pool_before_combination=yes"],
    key: "model.pool_before_combination",
    value: '"yes"',
    allowed: "true or false",
    near: null,
  },
  {
    what: "a value for a mapping",
    overrides: ["study.pruner_options=3"],
    key: "study.pruner_options",
    value: "3",
    allowed: "a mapping with the keys n_startup_trials, n_warmup_steps",
    near: null,
  },
  {
    what: "settings that are none",
    overrides: ["study.enqueue=[3]"],
    key: "study.enqueue",
    value: "[3]",
    allowed: "a list of mappings, each from searched keys to values",
    near: null,
  },
  // out of range
  {
    what: "no trial",
    overrides: ["study.n_trials=0"],
    key: "study.n_trials",
    value: "0",
    allowed: "an integer from 1 to 100000",
    near: null,
  },
  {
    what: "a learning rate of 0",
    overrides: ["training.learning_rate=0"],
    key: "training.learning_rate",
    value: "0",
    allowed: "a number greater than 0 and at most 1",
    near: null,
  },
  {
    what: "a negative time limit",
    overrides: ["study.time_limit_hours=-1"],
    key: "study.time_limit_hours",
    value: "-1",
    allowed: "a number greater than 0 or null",
    near: null,
  },
  {
    what: "a dropout of 1",
    overrides: ["model.criteria_dropout=1"],
    key: "model.criteria_dropout",
    value: "1",
    allowed: "a number at least 0 and less than 1",
    near: null,
  },
  {
    what: "no failure in a row",
    overrides: ["study.max_consecutive_failures=0"],
    key: "study.max_consecutive_failures",
    value: "0",
    allowed: /an integer .*at least 1.* or null/,
    near: null,
  },
  // names of registries
  {
    what: "an unknown pooling",
    overrides: ["model.criteria_pooling=meen"],
    key: "model.criteria_pooling",
    value: '"meen"',
    allowed: "one of cls, mean, max, attention, last_2_layer_mix",
    near: "mean",
  },
  {
    what: "an unknown sampler",
    overrides: ["study.sampler=tpee"],
    key: "study.sampler",
    value: '"tpee"',
    allowed: "one of tpe, random, quasi_random, grid",
    near: "tpe",
  },
  {
    what: "an unknown pruner",
    overrides: ["study.pruner=hyper_band"],
    key: "study.pruner",
    value: '"hyper_band"',
    allowed: "one of none, median, percentile, successive_halving, hyperband",
    near: "hyperband",
  },
  {
    what: "an unknown metric",
    overrides: ["study.metric=criteria_macro_f2"],
    key: "study.metric",
    value: '"criteria_macro_f2"',
    allowed: "one of criteria_macro_f1, criteria_micro_f1",
    near: "criteria_macro_f1",
  },
  {
    what: "an unknown augmentation method",
    overrides: ["augmentation.methods=[synonim]"],
    key: "augmentation.methods",
    value: '"synonim"',
    allowed: "some of synonym, insert, swap",
    near: "synonym",
  },
  // groups and defaults
  {
    what: "a missing file of a group",
    overrides: ["model=bert_bse"],
    key: "model/bert_bse.yaml",
    value: null,
    allowed: null,
    near: "bert_base",
  },
  {
    what: "a group that the list does not have",
    overrides: ["study=mine"],
    key: "study",
    value: "study=mine",
    allowed: null,
    near: null,
  },
  {
    what: "a missing file of the defaults list",
    files: mine("defaults: [bsae]"),
    key: "bsae.yaml",
    value: null,
    allowed: null,
    near: "base",
  },
  {
    what: "defaults in a circle",
    files: mine("defaults: [other]", { "other.yaml": "defaults: [mine]" }),
    key: "mine.yaml",
    value: "other.yaml",
    allowed: "in a circle",
    near: null,
  },
  {
    what: "defaults of a group in a circle",
    files: mine("defaults: [quickstart, model: a]", {
      "model/a.yaml": "defaults: [b]",
      "model/b.yaml": "defaults: [a]",
    }),
    key: "model/a.yaml",
    value: "model/b.yaml",
    allowed: "in a circle",
    near: null,
  },
  {
    what: "an override of a group that no list has",
    files: mine("defaults: [quickstart, override study: mine]"),
    key: "study",
    value: "override study: mine",
    allowed: null,
    near: null,
  },
  {
    what: "an entry of defaults that is none",
    files: mine("defaults: [quickstart, { model: [a] }]"),
    key: "defaults",
    value: '{"model":["a"]}',
    allowed: '"group: name"',
    near: null,
  },
  // overrides
  {
    what: "an override without a value",
    overrides: ["training.epochs="],
    key: "training.epochs",
    value: '"training.epochs="',
    allowed: "key=value",
    near: null,
  },
  {
    what: "an addition of what is there",
    overrides: ["+training.epochs=3"],
    key: "training.epochs",
    value: "+training.epochs=3",
    allowed: "is there already",
    near: null,
  },
  {
    what: "a group that is added twice",
    overrides: ["+model=bert_base"],
    key: "model",
    value: "+model=bert_base",
    allowed: "already",
    near: null,
  },
  {
    what: "a key that cannot be taken out",
    overrides: ["~training.epochs"],
    key: "training.epochs",
    value: "~training.epochs",
    allowed: "every configuration has",
    near: null,
  },
  {
    what: "an axis that is not there to be taken out",
    overrides: ["~search_space.training.batch_sizes"],
    key: "search_space.training.batch_sizes",
    value: "~search_space.training.batch_sizes",
    allowed: null,
    near: "search_space.training.batch_size",
  },
  // search space
  {
    what: "an axis that is no key",
    overrides: axis("training.epoch", "{type: int, low: 1, high: 2}"),
    key: "training.epoch",
    value: null,
    allowed: "in search_space",
    near: "training.epochs",
  },
  {
    what: "a choice that the key cannot take",
    overrides: axis("model.criteria_pooling", "{type: categorical, choices: [cls, attentoin]}"),
    key: "model.criteria_pooling",
    value: '"attentoin"',
    allowed: "one of cls, mean, max, attention",
    near: "attention",
  },
  {
    what: "an unknown kind of distribution",
    overrides: axis("training.epochs", "{type: integer, low: 1, high: 2}"),
    key: "search_space.training.epochs.type",
    value: '"integer"',
    allowed: "one of float, int, categorical",
    near: null,
  },
  {
    what: "low over high",
    overrides: axis("training.epochs", "{type: int, low: 3, high: 2}"),
    key: "search_space.training.epochs",
    value: "3 and 2",
    allowed: "at most high",
    near: null,
  },
  {
    what: "a range out of the key's",
    overrides: axis("training.warmup_ratio", "{type: float, low: 0, high: 1.5}"),
    key: "training.warmup_ratio",
    value: "1.5",
    allowed: "a number from 0 to 1",
    near: null,
  },
  // conditions
  {
    what: "a condition on an unknown key",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {model.criteria_head_typ: mlp}}"),
    key: "model.criteria_head_typ",
    value: null,
    allowed: "when of search_space.training.epochs",
    near: "model.criteria_head_type",
  },
  {
    what: "a condition on a value that the key cannot take",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {model.criteria_head_type: [linear, mpl]}}"),
    key: "model.criteria_head_type",
    value: '"mpl"',
    allowed: "one of linear, mlp, mlp_residual, gated, multi_sample_dropout",
    near: "mlp",
  },
  {
    what: "a condition on a value that is not searched",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {training.batch_size: 9}}"),
    key: "training.batch_size",
    value: "9",
    allowed: "one of 8, 16",
    near: null,
  },
  {
    what: "a condition on a range of real numbers",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {training.learning_rate: 0.003}}"),
    key: "training.learning_rate",
    value: null,
    allowed: "every real number from 0.002 to 0.006",
    near: null,
  },
  {
    what: "a condition in a form that there is not",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {model.criteria_head_type: {is: mlp}}}"),
    key: "search_space.training.epochs.when.model.criteria_head_type",
    value: '{"is":"mlp"}',
    allowed: "a value, a list of values, or {not: of these}",
    near: null,
  },
  {
    what: "a condition on a whole group",
    overrides: axis("training.epochs", "{type: int, low: 1, high: 2, when: {model: mlp}}"),
    key: "model",
    value: null,
    allowed: "name one of its keys",
    near: null,
  },
  {
    what: "conditions in a circle",
    overrides: [
      ...axis("training.epochs", "{type: int, low: 1, high: 2, when: {training.log_every: 1}}"),
      ...axis("training.log_every", "{type: int, low: 1, high: 2, when: {training.epochs: 1}}"),
    ],
    key: "training.epochs",
    value: "training.epochs -> training.log_every -> training.epochs",
    allowed: "to have an order",
    near: null,
  },
  // sampler, pruner, first settings
  {
    what: "an option of another sampler",
    overrides: ["study.sampler=random", "study.sampler_options.n_startup_trials=3"],
    key: "study.sampler_options",
    value: "n_startup_trials",
    allowed: "sampler random to be empty",
    near: null,
  },
  {
    what: "an option of another pruner",
    overrides: ["study.pruner=median", "study.pruner_options.reduction_factor=3"],
    key: "study.pruner_options",
    value: "reduction_factor",
    allowed: "some of n_startup_trials, n_warmup_steps, interval_steps, n_min_trials",
    near: null,
  },
  {
    what: "an option out of its range",
    overrides: ["study.pruner=percentile", "study.pruner_options.percentile=101"],
    key: "study.pruner_options.percentile",
    value: "101",
    allowed: "a number from 0 to 100",
    near: null,
  },
  {
    what: "a group of what is drawn alone",
    overrides: ["study.sampler_options={group: true, multivariate: false}"],
    key: "study.sampler_options.multivariate",
    value: "false",
    allowed: "to be true, since group is",
    near: null,
  },
  {
    what: "a threshold without one",
    overrides: ["study.pruner=threshold"],
    key: "study.pruner_options",
    value: "neither",
    allowed: "lower or upper",
    near: null,
  },
  {
    what: "a first setting of no axis",
    overrides: ["study.enqueue=[{training.lerning_rate: 0.003}]"],
    key: "study.enqueue",
    value: '"training.lerning_rate"',
    allowed: "keys of search_space",
    near: "training.learning_rate",
  },
  {
    what: "a first setting outside of its axis",
    overrides: ["study.enqueue=[{training.learning_rate: 0.003}, {training.batch_size: 12}]"],
    key: "training.batch_size",
    value: "12",
    allowed: "one of 8, 16",
    near: null,
  },
  {
    what: "an earlier study without its id",
    overrides: ["study.warm_start={path: x}"],
    key: "study.warm_start",
    value: '{"path":"x"}',
    allowed: "a mapping with the keys path, study_id",
    near: null,
  },
];

const METRICS = ["criteria_macro_f1", "criteria_micro_f1"];

function refusal({ overrides = [], files }: Wrong): WinnowError {
  let file = "configs/quickstart.yaml";
  if (files) {
    const folder = Deno.makeTempDirSync({ prefix: "winnow_wrong_" });
    for (const [name, content] of Object.entries(files)) {
      Deno.mkdirSync(dirname(join(folder, name)), { recursive: true });
      Deno.writeTextFileSync(join(folder, name), content);
    }
    file = join(folder, "mine.yaml");
  }
  try {
    loadConfig({ file, overrides, knownMetrics: METRICS });
  } catch (error) {
    assert.ok(error instanceof WinnowError, `expected a WinnowError but found ${error}`);
    return error;
  }
  assert.fail("expected the configuration to be refused");
}

for (const wrong of TABLE) {
  Deno.test(`refuses ${wrong.what}`, () => {
    const { message, kind, remedy } = refusal(wrong);
    assert.equal(kind, "input");
    assert.match(remedy, /\S/);
    const says = (part: string | RegExp) =>
      assert.ok(typeof part === "string" ? message.includes(part) : part.test(message), `${part} in: ${message}`);
    says(wrong.key);
    if (wrong.value !== null) says(wrong.value);
    if (wrong.allowed !== null) says(wrong.allowed);
    if (wrong.near === null) assert.doesNotMatch(message, /did you mean/);
    else says(`did you mean "${wrong.near}"?`);
    assert.equal(message.split("\n").length, 1, "one problem, one line");
  });
}

Deno.test("the table has all that a user is promised", () => {
  assert.ok(TABLE.length >= 30);
  assert.equal(new Set(TABLE.map(({ what }) => what)).size, TABLE.length);
});
