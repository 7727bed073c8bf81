/** The group `augmentation`: its keys, the methods that it names, and what they ask of the rest of the configuration. */

import { z } from "zod";
import { AUGMENTATION_METHODS, type AugmentationMethodName } from "../data/augmentation/registry.ts";
import { nearest } from "../support/text_distance.ts";
import type { Problem } from "./problems.ts";
import type { Config } from "./schema.ts";

const KEY = "augmentation.methods";
const text = z.string().min(1);

// What is a name is checked below, where the nearest one can be told; the contract has the list.
const methodName = z.string().meta({ enum: [...AUGMENTATION_METHODS] });
const methodNames = z.string().regex(/^[\w ,]+$/);

const translationModel = z.strictObject({
  id: text.describe("Hub id or local folder with ONNX files, such as Xenova/opus-mt-en-de"),
  revision: text.nullable(),
});

/** The schema of the group. */
export const augmentationSchema = z.strictObject({
  methods: z.union([z.array(methodName), methodNames])
    .describe("A list, or names with commas so that a search can choose among subsets; [] and none: no augmentation"),
  prob: z.number().min(0).max(0.5).describe("Probability that a training post with evidence gets an augmented copy"),
  word_rate: z.number().gt(0).max(0.5).describe(
    "Share of the words of a stretch of evidence that change, at least one",
  ),
  back_translation: z.strictObject({
    to: translationModel.describe("Translates from the language of the posts"),
    from: translationModel.describe("Translates back"),
    dtype: z.enum(["fp32", "fp16", "int8", "uint8", "q8", "q4"]).describe("Precision of the ONNX files"),
  }).nullable().describe("The models of the method back_translation"),
});

function namesIn(value: Config["augmentation"]["methods"]): string[] {
  if (typeof value !== "string") return value;
  const names = value.split(",").map((part) => part.trim());
  return names.length === 1 && names[0] === "none" ? [] : names;
}

/** The methods that a value of `augmentation.methods` names, in the order of {@link AUGMENTATION_METHODS}. */
export function augmentationMethods(value: Config["augmentation"]["methods"]): AugmentationMethodName[] {
  return AUGMENTATION_METHODS.filter((method) => namesIn(value).includes(method));
}

/** Every value that `augmentation.methods` has or may come to have in a search, and where it stands. */
function methodValues({ augmentation, search_space }: Config) {
  const searched = search_space[KEY];
  const choices = searched?.type === "categorical" ? searched.choices.filter((one) => typeof one === "string") : [];
  return [
    { value: augmentation.methods, path: ["augmentation", "methods"] },
    ...choices.map((value) => ({ value, path: ["search_space", KEY] })),
  ];
}

/** The methods that the trials of a study may use. */
export function possibleMethods(config: Config): AugmentationMethodName[] {
  const values = methodValues(config).map(({ value }) => augmentationMethods(value));
  return AUGMENTATION_METHODS.filter((method) => values.some((methods) => methods.includes(method)));
}

/** Problems of the methods that the trials may use: unknown, named twice, or without what they need. */
export function augmentationChecks(config: Config): Problem[] {
  const { augmentation, model } = config;
  return methodValues(config).flatMap(({ value, path }): Problem[] => {
    const names = namesIn(value);
    const unknown = names.find((name) => !AUGMENTATION_METHODS.some((method) => method === name));
    if (unknown !== undefined) {
      const near = nearest(unknown, AUGMENTATION_METHODS);
      return [{
        path,
        message: `Expected ${KEY} to name some of ${AUGMENTATION_METHODS.join(", ")} but found ${
          JSON.stringify(unknown)
        }`,
        ...(near === undefined ? {} : { hint: `; did you mean "${near}"?` }),
      }];
    }
    const problems: Problem[] = [];
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice !== undefined) {
      problems.push({ path, message: `Expected ${KEY} to name each method once but found ${twice} twice` });
    }
    if (names.includes("insert") && model.id === "random") {
      problems.push({
        path,
        message: `${KEY} has insert, but model.id is random: a model that has learned nothing knows no words to insert`,
        hint: "; leave insert out, or choose a pretrained model by model.id",
      });
    }
    if (names.includes("back_translation") && augmentation.back_translation === null) {
      problems.push({
        path,
        message: `${KEY} has back_translation, but augmentation.back_translation names no models`,
        hint: "; choose augmentation=back_translation, which names two",
      });
    }
    return problems;
  });
}
