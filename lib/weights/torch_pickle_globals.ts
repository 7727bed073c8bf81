/**
 * The allow-list: all the globals that a pickle of weights may name, and what calling them means. Nothing is looked up
 * in any module; a name that is not here has no meaning.
 */
import { ELEMENT_BYTES } from "./element_types.ts";
import { quote } from "./random_access.ts";
import { elementCount, type FileRange, type StoredTensor } from "./stored_tensor.ts";
import { PickleError } from "./torch_pickle_bytes.ts";
import type { Dict, ElementType, Listed, Storage, StorageType, Tensor, Tuple, Value } from "./torch_pickle_values.ts";

const MAX_RANK = 32;

/** Elements that a view may make of a smaller storage by strides of 0, as `expand` does. */
const MAX_EXPANDED = 2 ** 24;

const listed = (name: Listed["name"]): Listed => ({ kind: "listed", name });
const storage = (dtype: string | undefined): StorageType => ({ kind: "storageType", dtype });
const elementType = (dtype: string): ElementType => ({ kind: "elementType", dtype });

/** Module and name with a space between, as a pickle of protocol 2 writes them. */
const ALLOWED: ReadonlyMap<string, Listed | StorageType | ElementType> = new Map<
  string,
  Listed | StorageType | ElementType
>([
  ["collections OrderedDict", listed("OrderedDict")],
  ["torch._utils _rebuild_tensor_v2", listed("_rebuild_tensor_v2")],
  ["torch._utils _rebuild_tensor_v3", listed("_rebuild_tensor_v3")],
  ["torch._utils _rebuild_parameter", listed("_rebuild_parameter")],
  ["torch FloatStorage", storage("F32")],
  ["torch HalfStorage", storage("F16")],
  ["torch BFloat16Storage", storage("BF16")],
  ["torch DoubleStorage", storage("F64")],
  ["torch LongStorage", storage("I64")],
  ["torch IntStorage", storage("I32")],
  ["torch ShortStorage", storage("I16")],
  ["torch CharStorage", storage("I8")],
  ["torch ByteStorage", storage("U8")],
  ["torch BoolStorage", storage("BOOL")],
  // Element types without a storage class of their own are written as untyped bytes and a type.
  ["torch.storage UntypedStorage", storage(undefined)],
  ["torch uint16", elementType("U16")],
  ["torch uint32", elementType("U32")],
  ["torch uint64", elementType("U64")],
  ["torch float8_e4m3fn", elementType("F8_E4M3")],
  ["torch float8_e5m2", elementType("F8_E5M2")],
]);

/** What a name stands for; undefined when it is not on the list. */
export function allowedGlobal(module: string, name: string): Listed | StorageType | ElementType | undefined {
  return ALLOWED.get(`${module} ${name}`);
}

/** An empty Python dict. */
export function emptyDict(ordered: boolean): Dict {
  return { kind: "dict", ordered, entries: new Map() };
}

/** Whether a value is of one of the kinds of object. */
export function isKind<K extends Extract<Value, { kind: string }>["kind"]>(
  value: Value | undefined,
  kind: K,
): value is Extract<Value, { kind: K }> {
  return typeof value === "object" && value !== null && value.kind === kind;
}

/**
 * What a call of a listed function makes.
 *
 * @throws a PickleError that says what is wrong with the arguments
 */
export function callListed({ name }: Listed, { items: args }: Tuple): Value {
  switch (name) {
    case "OrderedDict":
      if (args.length > 0) throw new PickleError("OrderedDict is called with arguments");
      return emptyDict(true);
    case "_rebuild_tensor_v2":
      return rebuildTensor(args.slice(0, 6), undefined, args[6], args.length <= 7);
    case "_rebuild_tensor_v3":
      if (!isKind(args[6], "elementType")) {
        throw new PickleError("_rebuild_tensor_v3 is called without an element type");
      }
      return rebuildTensor(args.slice(0, 6), args[6].dtype, args[7], args.length <= 8);
    case "_rebuild_parameter":
      if (args.length !== 3 || !isKind(args[0], "tensor")) {
        throw new PickleError("_rebuild_parameter is called without a tensor");
      }
      return args[0];
  }
}

/** `args` as (storage, offset, size, stride, requires_grad, backward_hooks); the last two change no values. */
function rebuildTensor(
  args: readonly Value[],
  elementType: string | undefined,
  metadata: Value | undefined,
  isComplete: boolean,
): Tensor {
  const [storage, start, size, stride] = args;
  if (!isComplete || args.length !== 6 || !isKind(storage, "storage")) {
    throw new PickleError("a tensor is rebuilt from other than a storage and 5 arguments");
  }
  const dtype = storage.dtype ?? elementType;
  if (dtype === undefined || (storage.dtype !== undefined && elementType !== undefined)) {
    throw new PickleError("a tensor has no element type, or two");
  }
  // Metadata can say that values are negated or conjugated.
  if (metadata !== undefined && metadata !== null && !(isKind(metadata, "dict") && metadata.entries.size === 0)) {
    throw new PickleError("a tensor has metadata");
  }
  const shape = naturalNumbers(size);
  const strides = naturalNumbers(stride);
  if (!shape || !strides || shape.length !== strides.length || shape.length > MAX_RANK || !isNatural(start)) {
    throw new PickleError("a tensor has an impossible size, stride or offset");
  }
  return { kind: "tensor", stored: checkView({ dtype, shape, strides, start, ranges: [storage.range] }, storage) };
}

/** Proves that a view stays inside its storage and, strides of 0 apart, takes no element twice. */
function checkView(view: Omit<StoredTensor, "byteLength">, { range }: Storage): StoredTensor {
  const { dtype, shape, strides, start } = view;
  const width = ELEMENT_BYTES.get(dtype)!;
  const capacity = Math.floor(range.byteLength / width);
  const count = elementCount(shape);
  const text = `a tensor of shape [${shape}], strides [${strides}] and offset ${start}`;
  if (count > 0) {
    let reach = 0;
    const dimensions = shape.map((length, i) => ({ length, stride: strides[i]! })).filter(({ length }) => length > 1);
    for (const { length, stride } of dimensions.sort((a, b) => a.stride - b.stride)) {
      if (stride !== 0 && stride <= reach) throw new PickleError(`${text} overlaps itself`);
      reach += (length - 1) * stride;
    }
    if (start + reach >= capacity) throw new PickleError(`${text} leaves its storage of ${capacity} elements`);
  }
  if (count > Math.max(capacity, MAX_EXPANDED)) throw new PickleError(`${text} makes too much of its storage`);
  return { ...view, byteLength: count * width };
}

function isNatural(value: Value | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function naturalNumbers(value: Value | undefined): number[] | undefined {
  return isKind(value, "tuple") && value.items.every(isNatural) ? value.items as number[] : undefined;
}

/**
 * The storage that a persistent id stands for: ("storage", class, key, device, number of elements).
 *
 * @param findRange where the bytes of a storage's key are
 * @throws a PickleError that says what is wrong with the id
 */
export function resolveStorage(id: Value, findRange: (key: string) => FileRange | undefined): Storage {
  const [word, type, key, , count] = isKind(id, "tuple") && id.items.length === 5 ? id.items : [];
  if (word !== "storage" || !isKind(type, "storageType") || typeof key !== "string" || !isNatural(count)) {
    throw new PickleError("a persistent id is not that of a storage");
  }
  const range = findRange(key);
  if (!range) throw new PickleError(`the bytes of storage ${quote(key)} are missing`);
  if (count * (ELEMENT_BYTES.get(type.dtype ?? "U8")!) !== range.byteLength) {
    throw new PickleError(`storage ${quote(key)} claims ${count} elements, but has ${range.byteLength} bytes`);
  }
  return { kind: "storage", range, dtype: type.dtype };
}
