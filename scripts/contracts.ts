/** Writes the JSON Schemas of `contracts/` from the zod schemas; a test holds them in step. */

import { configContract } from "../lib/config/schema.ts";

const file = new URL("../contracts/config.schema.json", import.meta.url);
Deno.writeTextFileSync(file, JSON.stringify(configContract(), null, 2) + "\n");
