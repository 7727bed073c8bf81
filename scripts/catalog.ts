/** `deno task catalog`: what a configuration can choose from by name. */
import { CATALOG_HELP } from "../lib/cli/help.ts";
import { parseCatalogOptions } from "../lib/cli/options.ts";
import { runCommand } from "../lib/cli/run.ts";
import { catalog, catalogText } from "../lib/report/catalog.ts";

await runCommand({
  help: CATALOG_HELP,
  parse: parseCatalogOptions,
  main({ json }, { output }) {
    const found = catalog();
    if (!json) output.say(catalogText(found));
    return Promise.resolve(found);
  },
});
