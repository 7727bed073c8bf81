/** The version of Winnow, as it stands in `deno.json`. */
import settings from "../../deno.json" with { type: "json" };

/** Semantic version of this copy of Winnow. */
export const VERSION: string = settings.version;
