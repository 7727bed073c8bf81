import assert from "node:assert/strict";
import fc from "fast-check";
import { artifactParts, inGroups, metricKey, paramEntries, tagValue } from "../../lib/tracking/limits.ts";

/** What `posixpath.normpath` and the character set of MLflow's validation leave unchanged. */
function isValid(key: string): boolean {
  return /^[/\p{L}\p{N}_.\- ]{1,250}$/u.test(key) && !key.startsWith("..") &&
    key.split("/").every((part) => part !== "" && part !== "." && part !== "..");
}

Deno.test("tracking names: valid ones stay, others become valid and stay apart", () => {
  for (const name of ["validation/criteria_macro_f1", "train/loss", "ärger/Schlaf 1", "a.b-c", "lr.part2"]) {
    assert.equal(metricKey(name), name);
  }
  const odd = [
    "a@b",
    "a#b",
    "a:b",
    "a//b",
    "/a/b",
    "a/",
    "../a",
    "..",
    ".",
    "",
    "a/../b",
    "x".repeat(251),
    "x".repeat(252),
  ];
  const keys = odd.map(metricKey);
  for (const key of keys) assert.ok(isValid(key), key);
  assert.equal(new Set(keys).size, odd.length);
});

Deno.test("tracking names: any text becomes a valid name, the same each time", () => {
  fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 600 }), (name) => {
    assert.ok(isValid(metricKey(name)), metricKey(name));
    assert.equal(metricKey(name), metricKey(name));
    assert.equal(metricKey(metricKey(name)), metricKey(name));
  }));
});

Deno.test("tracking values: long params go on under further keys and lose nothing, long tags are cut", () => {
  const long = "é😀".repeat(5000);
  const parts = paramEntries({ space: long, empty: "", short: "1" }, 6000);
  assert.deepEqual(parts.map(([key]) => key), ["space", "space.part2", "space.part3", "empty", "short"]);
  assert.ok(parts.every(([, value]) => value.length <= 6000 && value.isWellFormed()));
  assert.equal(parts.filter(([key]) => key.startsWith("space")).map(([, value]) => value).join(""), long);
  assert.equal(tagValue("short"), "short");
  assert.equal(tagValue("😀".repeat(4000)).length <= 5000, true);
  assert.ok(tagValue("😀".repeat(4000)).isWellFormed());
});

Deno.test("tracking batches: at most so many, and under a megabyte of JSON", () => {
  assert.deepEqual(inGroups([1, 2, 3, 4, 5], 2), [[1, 2], [3, 4], [5]]);
  assert.deepEqual(inGroups([], 2), []);
  const params = Array.from({ length: 100 }, (_, i) => ({ key: `p${i}`, value: "\u0001é".repeat(3000) }));
  const groups = inGroups(params, 100);
  assert.deepEqual(groups.flat(), params);
  assert.ok(groups.length > 1);
  for (const group of groups) assert.ok(new TextEncoder().encode(JSON.stringify(group)).length < 1_000_000);
});

Deno.test("tracking artifacts: a path that leaves the run's folder is refused", () => {
  assert.deepEqual(artifactParts("reports/summary.json"), ["reports", "summary.json"]);
  for (const path of ["../x", "/etc/x", "a/../../x", "", "a//b", "a\\b", "a\u0000b", "."]) {
    assert.throws(() => artifactParts(path), /is no path of an artifact/, path);
  }
});
