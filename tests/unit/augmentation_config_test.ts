import assert from "node:assert/strict";
import { augmentationMethods, possibleMethods } from "../../lib/config/augmentation.ts";
import { AUGMENTATION_METHODS } from "../../lib/data/augmentation/registry.ts";
import { loadConfig, withParams } from "../../lib/config/compose.ts";
import { METHODS } from "../../lib/data/augmentation/registry.ts";

const load = (...overrides: string[]) => loadConfig({ file: "configs/quickstart.yaml", overrides });
const methods = (...overrides: string[]) => augmentationMethods(load(...overrides).augmentation.methods);

Deno.test("augmentation: methods are a list or names with commas", () => {
  assert.deepEqual(methods(), []);
  assert.deepEqual(methods("augmentation.methods=none"), []);
  assert.deepEqual(methods("augmentation.methods=[]"), []);
  assert.deepEqual(methods("augmentation.methods=swap, synonym"), ["synonym", "swap"]);
  assert.deepEqual(methods("augmentation.methods=[eda,delete]"), ["delete", "eda"]);
  assert.deepEqual(methods("augmentation=back_translation"), ["back_translation"]);
  assert.deepEqual(methods("augmentation=words"), ["synonym", "swap", "char_perturb", "delete"]);
  assert.deepEqual(Object.keys(METHODS).sort(), AUGMENTATION_METHODS.toSorted());
});

Deno.test("augmentation: what cannot be done is refused with what can", () => {
  const refuse = (override: string, message: RegExp) => assert.throws(() => load(override), message);
  refuse(
    "augmentation.methods=synonim",
    /methods to name some of synonym, .* but found "synonim".*; did you mean "synonym"/,
  );
  refuse("augmentation.methods=[swap,synonim]", /but found "synonim".*; did you mean "synonym"/);
  refuse("augmentation.methods=swap,swap", /to name each method once but found swap twice/);
  refuse("augmentation.methods=none,swap", /but found "none"/);
  refuse(
    "augmentation.methods=insert",
    /has insert, but model\.id is random.*; leave insert out, or choose a pretrained/,
  );
  refuse("augmentation.methods=back_translation", /names no models.*; choose augmentation=back_translation/);
  refuse("augmentation.prob=0.6", /Expected augmentation\.prob to be a number from 0 to 0\.5 but found 0\.6/);
  refuse("augmentation.word_rate=0", /Expected augmentation\.word_rate to be a number/);
  refuse("augmentation.method=eda", /unknown key "augmentation\.method".*; did you mean "augmentation\.methods"/);
});

Deno.test("augmentation: a search chooses among subsets, each of them checked before it starts", () => {
  const space = (choices: string) =>
    `search_space={ augmentation.methods: { type: categorical, choices: [${choices}] } }`;
  const config = load(space('none, swap, "synonym,eda"'));
  assert.deepEqual(possibleMethods(config), ["synonym", "swap", "eda"]);
  const drawn = withParams(config, { "augmentation.methods": "synonym,eda", "augmentation.prob": 0.5 });
  assert.deepEqual(augmentationMethods(drawn.augmentation.methods), ["synonym", "eda"]);
  assert.throws(() => load(space('swap, "swap,insrt"')), /"insrt".*; did you mean "insert"/);
  assert.throws(() => load(space("swap, insert")), /model\.id is random/);
});
