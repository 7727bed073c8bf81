/** The figures of the benchmark suites as a table in Markdown. */

type Json = Readonly<Record<string, unknown>>;

/** A row: suite, case, engine, figure, how many times Winnow's time it took. */
type Row = readonly [suite: string, what: string, engine: string, figure: string, ratio: string];

const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const number = (value: unknown) => typeof value === "number" ? String(value) : "";

/** The figures of engines that did the same. */
function engineRows(suite: string, what: string, engines: Json): Row[] {
  return Object.entries(engines).filter((entry): entry is [string, Json] => isJson(entry[1])).map(([engine, of]) => {
    const figures = [
      ["ms", of["ms"] ?? of["step_ms"]],
      ["ms CPU", of["cpu_ms"]],
      ["tokens/s", of["tokens_per_second"]],
      ["GFLOP/s", of["gflops"]],
      ["GB/s", of["gigabytes_per_second"]],
      ["MB at most", typeof of["peak_rss_bytes"] === "number" ? Math.round(of["peak_rss_bytes"] / 1e6) : undefined],
    ].filter(([, value]) => typeof value === "number").map(([unit, value]) => `${value} ${unit}`);
    return [suite, what, engine, figures.join(", "), number(of["ratio"])];
  });
}

function shapeText(shape: unknown): string {
  if (!isJson(shape)) return String(shape);
  const { layers, hidden, ffn, batch, length } = shape;
  return `${layers} layers, hidden ${hidden}, FFN ${ffn}, ${batch} × ${length} tokens`;
}

function rowsOf({ suite, result, error, skipped }: Json): Row[] {
  const name = String(suite);
  if (!isJson(result)) return [[name, "", "", String(error ?? skipped), ""]];
  if (isJson(result["layouts"])) {
    return Object.entries(result["layouts"]).flatMap(([layout, of]): Row[] => {
      if (!isJson(of)) return [];
      const row = (
        engine: string,
        figure: string,
        ratio: unknown,
      ): Row => [name, layout, engine, `${number(of[figure])} GFLOP/s`, number(ratio)];
      return [
        row("winnow", "winnow_gflops", 1),
        row("jax-js", "jax_js_gflops", of["ratio_jax_js"]),
        row("tfjs", "tfjs_gflops", of["ratio_tfjs"]),
        row("FMA alone", "fma_gflops", of["share_of_fma"]),
      ];
    });
  }
  if (isJson(result["engines"])) return engineRows(name, shapeText(result["shape"]), result["engines"]);
  if (Array.isArray(result["results"]) && result["results"].every((one) => isJson(one) && isJson(one["engines"]))) {
    return result["results"].flatMap(({ shape, pass, engines }) => engineRows(name, `${shape}, ${pass}`, engines));
  }
  if (isJson(result["winnow"])) {
    return ["winnow", "transformers"].flatMap((engine) =>
      ["tokenise", "whole"].flatMap((part): Row[] => {
        const found = result[engine], of = isJson(found) ? found[part] : undefined;
        if (!isJson(of)) return [];
        const ratio = engine === "winnow" ? 1 : (found as Json)[`ratio_${part}`];
        return [[
          name,
          part,
          engine,
          `${of["texts_per_second"]} texts/s, ${of["tokens_per_second"]} tokens/s`,
          number(ratio),
        ]];
      })
    );
  }
  return [[name, "", "winnow", `\`${JSON.stringify(result).replaceAll("|", "\\|")}\``, ""]];
}

/** The table of the lines that `bench/suite.ts` writes. */
export function table(lines: readonly Json[]): string {
  const first = lines.map(({ result }) => isJson(result) ? result["adapter"] : undefined).find((name) =>
    name !== undefined
  );
  const rows = lines.flatMap(rowsOf).map((cells) => `| ${cells.join(" | ")} |`);
  return [
    `Adapter: ${
      first ?? "unknown"
    }. The last column: an engine's time over Winnow's; of FMA alone, Winnow's rate over it.`,
    "",
    "| suite | case | engine | figure | ratio |",
    "| --- | --- | --- | --- | ---: |",
    ...rows,
    "",
  ].join("\n");
}
