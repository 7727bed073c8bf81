/**
 * The encoders that Winnow knows by a short name. Any other id or folder of their families works as well: the catalog
 * only adds the short name, the pinned commit, and what a user should know before the download.
 */
import type { EncoderFamily } from "../weights/encoder_config.ts";

/** A model of the catalog. */
export interface CatalogModel {
  /** What `model.id` may say. */
  readonly name: string;
  /** On the Hugging Face hub. */
  readonly id: string;
  readonly family: EncoderFamily;
  /** The format of the weights that Winnow takes: safetensors before PyTorch's before Flax's. */
  readonly weights: "safetensors" | "pytorch" | "flax";
  /**
   * The commit that is used where `model.revision` is null. "main" says that the model is **not pinned**: its commit could
   * not be verified when this was written. What is used is recorded with every trial either way.
   */
  readonly revision: string;
  /** Whether the hub asks to accept terms first, so that HF_TOKEN is needed. */
  readonly gated: boolean;
  /** As the model's card states it; null where it states none. */
  readonly license: string | null;
}

/** The models of the catalog. */
export const CATALOG: readonly CatalogModel[] = [
  {
    name: "mental-bert",
    id: "mental/mental-bert-base-uncased",
    family: "bert",
    weights: "pytorch",
    revision: "24809aa822c76639760d0d934742d1b42f89942f",
    gated: true,
    license: "cc-by-nc-4.0",
  },
  {
    name: "psychbert",
    id: "mnaylor/psychbert-cased",
    family: "bert",
    weights: "flax",
    revision: "main",
    gated: false,
    license: null,
  },
  {
    name: "ClinicalBERT",
    id: "medicalai/ClinicalBERT",
    family: "distilbert",
    weights: "pytorch",
    revision: "f7c7f65227cb311f33a79c24858d875876d478ac",
    gated: false,
    license: null,
  },
  {
    name: "bert-base",
    id: "google-bert/bert-base-uncased",
    family: "bert",
    weights: "safetensors",
    revision: "86b5e0934494bd15c9632b12f734a8a67f723594",
    gated: false,
    license: "apache-2.0",
  },
  {
    name: "roberta-base",
    id: "FacebookAI/roberta-base",
    family: "roberta",
    weights: "safetensors",
    revision: "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
    gated: false,
    license: "mit",
  },
];

/** The entry of a model by its short name or hub id; undefined for models outside the catalog. */
export function catalogModel(id: string): CatalogModel | undefined {
  return CATALOG.find((entry) => entry.name === id || entry.id === id);
}
