/** What a pickle of weights can hold: data, and the few names on the list, which stand for data too. */
import type { FileRange, StoredTensor } from "./stored_tensor.ts";

/** The bytes of one or more tensors. */
export interface Storage {
  readonly kind: "storage";
  readonly range: FileRange;
  /** The element type; undefined when the bytes are untyped. */
  readonly dtype: string | undefined;
}

/** A tensor: a view of a storage. */
export interface Tensor {
  readonly kind: "tensor";
  readonly stored: StoredTensor;
}

/** A Python list. */
export interface List {
  readonly kind: "list";
  readonly items: Value[];
}

/** A Python tuple. */
export interface Tuple {
  readonly kind: "tuple";
  readonly items: readonly Value[];
}

/** A Python dict; an OrderedDict may be given attributes, which are dropped. */
export interface Dict {
  readonly kind: "dict";
  readonly ordered: boolean;
  readonly entries: Map<Key, Value>;
}

/** A function of the list, as a word: what it does is done here, see `callListed`. */
export interface Listed {
  readonly kind: "listed";
  readonly name: "OrderedDict" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3" | "_rebuild_parameter";
}

/** A storage class; without an element type, UntypedStorage. */
export interface StorageType {
  readonly kind: "storageType";
  readonly dtype: string | undefined;
}

/** An element type, such as `torch.uint16`. */
export interface ElementType {
  readonly kind: "elementType";
  readonly dtype: string;
}

/** What may be the key of a dict. */
export type Key = null | boolean | number | bigint | string;

/** Anything on the stack. */
export type Value = Key | Storage | Tensor | List | Tuple | Dict | Listed | StorageType | ElementType;
