/**
 * Runs a pickle as what it is, a program for a stack machine, of which only the instructions that build data are known:
 * https://github.com/python/cpython/blob/main/Lib/pickletools.py describes them all. Names of globals are looked up in a
 * list, never in a module, so that there is nothing that a pickle could run. Every instruction makes at most one value,
 * and there is a bound on instructions.
 */
import { quote } from "./random_access.ts";
import { type PickleBytes, pickleBytes, PickleError } from "./torch_pickle_bytes.ts";
import { allowedGlobal, callListed, emptyDict, isKind } from "./torch_pickle_globals.ts";
import type { Dict, Key, List, Storage, Tuple, Value } from "./torch_pickle_values.ts";

/** A tensor takes about 25; the bound is 40,000 tensors and some 200 MB. */
const MAX_INSTRUCTIONS = 1_000_000;

/** A global that is not on the list. */
export class ForbiddenGlobal extends PickleError {
  override name = "ForbiddenGlobal";
}

interface Machine {
  code: PickleBytes;
  stack: Value[];
  /** Heights of the stack where a MARK was set. */
  marks: number[];
  memo: Map<number, Value>;
  load(id: Value): Storage;
}

/**
 * The value that a pickle stands for.
 *
 * @param load the storage that a persistent id stands for
 * @throws ForbiddenGlobal when it names a global off the list; another PickleError for what else is wrong with it
 */
export function runPickle(bytes: Uint8Array, load: (id: Value) => Storage): Value {
  const machine: Machine = { code: pickleBytes(bytes), stack: [], marks: [], memo: new Map(), load };
  for (let step = 0; step < MAX_INSTRUCTIONS; step++) {
    const code = machine.code.byte();
    if (code === STOP) {
      if (machine.stack.length !== 1 || machine.marks.length > 0) {
        throw new PickleError("values are left over at its end");
      }
      if (machine.code.left() > 0) throw new PickleError(`${machine.code.left()} bytes follow its end`);
      return machine.stack[0]!;
    }
    const instruction = INSTRUCTIONS[code];
    if (!instruction) throw unknown(machine.code, code);
    instruction(machine);
  }
  throw new PickleError(`it has more than ${MAX_INSTRUCTIONS} instructions`);
}

const STOP = 0x2e;

/** By code. A character in a comment is how the instruction looks in a pickle of protocol 0 or 1. */
const INSTRUCTIONS: Readonly<Record<number, (machine: Machine) => void>> = {
  0x80: ({ code }) => { // PROTO
    const version = code.byte();
    if (version > 5) throw new PickleError(`its protocol is ${version}; known are 0 to 5`);
  },
  0x95: ({ code }) => { // FRAME
    if (code.uint64() > code.left()) throw new PickleError("a frame is longer than the pickle");
  },

  0x4e: ({ stack }) => stack.push(null), // N NONE
  0x88: ({ stack }) => stack.push(true), // NEWTRUE
  0x89: ({ stack }) => stack.push(false), // NEWFALSE
  0x4a: ({ stack, code }) => stack.push(code.int32()), // J BININT
  0x4b: ({ stack, code }) => stack.push(code.byte()), // K BININT1
  0x4d: ({ stack, code }) => stack.push(code.uint16()), // M BININT2
  0x8a: ({ stack, code }) => stack.push(code.long(code.byte())), // LONG1
  0x8b: ({ stack, code }) => stack.push(code.long(code.int32())), // LONG4
  0x49: ({ stack, code }) => stack.push(code.decimal("INT")), // I INT
  0x4c: ({ stack, code }) => stack.push(code.decimal("LONG")), // L LONG
  0x46: ({ stack, code }) => stack.push(code.floatLine()), // F FLOAT
  0x47: ({ stack, code }) => stack.push(code.float64()), // G BINFLOAT
  0x8c: ({ stack, code }) => stack.push(code.text(code.byte())), // SHORT_BINUNICODE
  0x58: ({ stack, code }) => stack.push(code.text(code.uint32())), // X BINUNICODE
  0x8d: ({ stack, code }) => stack.push(code.text(code.uint64())), // BINUNICODE8
  0x56: ({ stack, code }) => stack.push(code.escapedLine()), // V UNICODE

  0x28: ({ stack, marks }) => marks.push(stack.length), // ( MARK
  0x30: (machine) => { // 0 POP
    if (machine.stack.length === (machine.marks.at(-1) ?? 0)) popToMark(machine);
    else machine.stack.pop();
  },
  0x31: (machine) => popToMark(machine), // 1 POP_MARK
  0x32: (machine) => machine.stack.push(top(machine)), // 2 DUP

  0x29: ({ stack }) => stack.push(tuple([])), // ) EMPTY_TUPLE
  0x85: (machine) => machine.stack.push(tuple([pop(machine)])), // TUPLE1
  0x86: (machine) => machine.stack.push(tuple([pop(machine), pop(machine)].reverse())), // TUPLE2
  0x87: (machine) => machine.stack.push(tuple([pop(machine), pop(machine), pop(machine)].reverse())), // TUPLE3
  0x74: (machine) => machine.stack.push(tuple(popToMark(machine))), // t TUPLE
  0x5d: ({ stack }) => stack.push({ kind: "list", items: [] }), // ] EMPTY_LIST
  0x6c: (machine) => machine.stack.push({ kind: "list", items: popToMark(machine) }), // l LIST
  0x61: (machine) => append(machine, [pop(machine)]), // a APPEND
  0x65: (machine) => append(machine, popToMark(machine)), // e APPENDS
  0x7d: ({ stack }) => stack.push(emptyDict(false)), // } EMPTY_DICT
  0x64: (machine) => { // d DICT
    const items = popToMark(machine);
    machine.stack.push(emptyDict(false));
    setItems(machine, items);
  },
  0x73: (machine) => setItems(machine, [pop(machine), pop(machine)].reverse()), // s SETITEM
  0x75: (machine) => setItems(machine, popToMark(machine)), // u SETITEMS

  0x70: (machine) => remember(machine, machine.code.index()), // p PUT
  0x71: (machine) => remember(machine, machine.code.byte()), // q BINPUT
  0x72: (machine) => remember(machine, machine.code.uint32()), // r LONG_BINPUT
  0x94: (machine) => remember(machine, machine.memo.size), // MEMOIZE
  0x67: (machine) => recall(machine, machine.code.index()), // g GET
  0x68: (machine) => recall(machine, machine.code.byte()), // h BINGET
  0x6a: (machine) => recall(machine, machine.code.uint32()), // j LONG_BINGET

  0x63: ({ stack, code }) => stack.push(lookUp(code.line(), code.line())), // c GLOBAL
  0x93: (machine) => { // STACK_GLOBAL
    const name = pop(machine);
    const module = pop(machine);
    if (typeof module !== "string" || typeof name !== "string") {
      throw new PickleError("a global is named by other than text");
    }
    machine.stack.push(lookUp(module, name));
  },
  0x69: ({ code }) => { // i INST
    lookUp(code.line(), code.line());
    throw new PickleError("it makes an instance (INST), which weights do not need");
  },
  0x51: (machine) => machine.stack.push(machine.load(pop(machine))), // Q BINPERSID
  0x52: (machine) => { // R REDUCE
    const args = pop(machine);
    const callee = pop(machine);
    if (!isKind(callee, "listed") || !isKind(args, "tuple")) throw new PickleError("it calls what is no function");
    machine.stack.push(callListed(callee, args));
  },
  0x62: (machine) => { // b BUILD: a state dict's attribute `_metadata`
    const state = pop(machine);
    const target = top(machine);
    if (!isKind(target, "dict") || !target.ordered || !isKind(state, "dict")) {
      throw new PickleError("it sets the state of what is no OrderedDict");
    }
  },
};

/** Known instructions that weights do not need: other protocols' text and bytes, sets, instances, numbered globals. */
const OTHERS: ReadonlyMap<number, string> = new Map([
  [0x50, "PERSID"],
  [0x53, "STRING"],
  [0x54, "BINSTRING"],
  [0x55, "SHORT_BINSTRING"],
  [0x42, "BINBYTES"],
  [0x43, "SHORT_BINBYTES"],
  [0x8e, "BINBYTES8"],
  [0x96, "BYTEARRAY8"],
  [0x97, "NEXT_BUFFER"],
  [0x98, "READONLY_BUFFER"],
  [0x8f, "EMPTY_SET"],
  [0x90, "ADDITEMS"],
  [0x91, "FROZENSET"],
  [0x6f, "OBJ"],
  [0x81, "NEWOBJ"],
  [0x92, "NEWOBJ_EX"],
  [0x82, "EXT1"],
  [0x83, "EXT2"],
  [0x84, "EXT4"],
]);

function unknown(code: PickleBytes, instruction: number): PickleError {
  const name = OTHERS.get(instruction);
  const place = `at byte ${code.position() - 1}`;
  return new PickleError(
    name
      ? `it uses the instruction ${name} ${place}, which weights do not need`
      : `it has the unknown instruction ${instruction} ${place}`,
  );
}

function tuple(items: Value[]): Tuple {
  return { kind: "tuple", items };
}

function pop({ stack, marks }: Machine): Value {
  if (stack.length <= (marks.at(-1) ?? 0)) throw new PickleError("it takes a value from an empty stack");
  return stack.pop()!;
}

function top({ stack, marks }: Machine): Value {
  if (stack.length <= (marks.at(-1) ?? 0)) throw new PickleError("it takes a value from an empty stack");
  return stack.at(-1)!;
}

function popToMark({ stack, marks }: Machine): Value[] {
  const mark = marks.pop();
  if (mark === undefined) throw new PickleError("it goes back to a mark that was never set");
  return stack.splice(mark);
}

function append(machine: Machine, items: readonly Value[]): void {
  const list: List | Value = top(machine);
  if (!isKind(list, "list")) throw new PickleError("it appends to what is no list");
  for (const item of items) list.items.push(item);
}

function setItems(machine: Machine, items: readonly Value[]): void {
  const dict: Dict | Value = top(machine);
  if (!isKind(dict, "dict")) throw new PickleError("it sets an entry of what is no dict");
  if (items.length % 2 !== 0) throw new PickleError("it sets a key without a value");
  for (let i = 0; i < items.length; i += 2) {
    const key = items[i]!;
    if (typeof key === "object" && key !== null) throw new PickleError(`it has a ${key.kind} for a key`);
    dict.entries.set(key as Key, items[i + 1]!);
  }
}

function remember(machine: Machine, index: number): void {
  machine.memo.set(index, top(machine));
}

function recall({ stack, memo }: Machine, index: number): void {
  const value = memo.get(index);
  if (value === undefined) throw new PickleError(`it recalls value ${index}, which was never remembered`);
  stack.push(value);
}

function lookUp(module: string, name: string): Value {
  const found = allowedGlobal(module, name);
  if (!found) throw new ForbiddenGlobal(quote(`${module}.${name}`));
  return found;
}
