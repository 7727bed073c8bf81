import assert from "node:assert/strict";
import { configContract } from "../../lib/config/schema.ts";

Deno.test("contracts/config.schema.json is what the schema generates (deno task contracts writes it)", () => {
  assert.deepEqual(
    JSON.parse(Deno.readTextFileSync("contracts/config.schema.json")),
    JSON.parse(JSON.stringify(configContract())),
  );
});
