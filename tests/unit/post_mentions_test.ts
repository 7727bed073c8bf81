import assert from "node:assert/strict";
import fc from "fast-check";
import { formatCsv } from "../../lib/data/csv_format.ts";
import { createLogger, formatEvent } from "../../lib/support/logging.ts";
import { jsonWithout, lineWithout, tableWithout } from "../../lib/study/post_mentions.ts";

const ids = new Set(["12", "p_a"]);

Deno.test("a table loses the rows of the posts and nothing else, byte for byte", () => {
  const rows = ['12,"a, ""b""\nc",x\r\n', "120,12,p_a\n", "p_a,text,y\n", '"p_b","p_a",\n'];
  const header = "post_id,text,more\n";
  assert.deepEqual(tableWithout(header + rows.join(""), ids), { text: header + rows[1] + rows[3], removed: 2 });
  assert.deepEqual(tableWithout("text,id\n12,12\n", ids), undefined, "no column of post ids");
  assert.deepEqual(
    tableWithout("\ufeffpost_id,text\n12,a\n13,b", ids)!.text.replace("\ufeff", ""),
    "post_id,text\n13,b",
  );
  assert.deepEqual(tableWithout("", ids), undefined);
});

Deno.test("property: what is left of a table are the rows of the other posts", () => {
  const cell = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r\n", "é", "1", " ") });
  fc.assert(fc.property(
    fc.array(fc.tuple(fc.constantFrom("12", "p_a", "1", "p", '12"', "12,"), cell)),
    (rows) => {
      const head = ["post_id", "text"];
      const found = tableWithout(formatCsv([head, ...rows]), ids)!;
      const others = rows.filter(([id]) => !ids.has(id));
      assert.deepEqual(found, { text: formatCsv([head, ...others]), removed: rows.length - others.length });
    },
  ));
});

Deno.test("JSON loses entries of lists and maps and objects of the posts; numbers of that look stay", () => {
  const value = {
    step: 12,
    confusion: { "12": 3 },
    post_ids: ["12", "13"],
    predictions: [{ post_id: "12", p: [0.1] }, { post_id: "13" }, { post_id: 12 }],
    posts: { "p_a": {}, "p_b": { hard: { post: "p_a" } } },
    copies: [{ post_id: "p_a#swap" }, { sourceId: "p_b" }],
    text: "p_a",
  };
  const left = {
    step: 12,
    confusion: { "12": 3 },
    post_ids: ["13"],
    predictions: [{ post_id: "13" }],
    posts: { "p_b": {} },
    copies: [{ sourceId: "p_b" }],
    text: "p_a",
  };
  for (const indent of [0, 2]) {
    const text = JSON.stringify(value, null, indent) + "\n";
    assert.deepEqual(jsonWithout(text, ids), { text: JSON.stringify(left, null, indent) + "\n", removed: 6 });
  }
  assert.equal(jsonWithout('{"post_id":"12","p":1}', ids), "whole");
  const untouched = '{"a" : 1.0}';
  assert.deepEqual(jsonWithout(untouched, ids), { text: untouched, removed: 0 });
});

Deno.test("a line goes where it is about a post, whether for programs or for people", () => {
  const lines: string[] = [];
  const log = createLogger([(event) => lines.push(JSON.stringify(event), formatEvent(event))]);
  log.info("odd post", { post_id: "p_a" });
  log.info("odd", { found: { post_id: "12", sentence: 3 } });
  assert.deepEqual(lines.map((line) => lineWithout(line, ids)), [undefined, undefined, undefined, undefined]);
  lines.length = 0;
  log.info("epoch 12", { step: 12, value: 12, post_id: "120", found: { post_id: "p_a_1" } });
  log.info("torn p_a");
  for (const line of [...lines, '{"post_id": "12', "", "post_id=120", '{"step":12}']) {
    assert.equal(lineWithout(line, ids), line);
  }
  assert.equal(lineWithout('{"n":1,"posts":["12","13"]}', ids), '{"n":1,"posts":["13"]}');
  assert.equal(lineWithout('{"post_id":"12","p":0.5}', ids), undefined);
  assert.equal(lineWithout("INFO data post=12, dropped", ids), undefined);
});
