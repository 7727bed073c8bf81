/** Storage over time: bytes of the study's checkpoints, with each pruning marked. */
import { formatBytes } from "../../../storage/free_space.ts";
import type { Pruning, StoragePoint, StudyReport } from "../data.ts";
import { type Markup, markup, px } from "../markup.ts";
import { axes, dots, drawingArea, figure, image, legend, type Size, twice } from "./plot.ts";
import { linearScale, type Tick } from "./scale.ts";

/** Units of time, the largest that gives at least two of it is shown. */
const UNITS = [["days", 86_400_000], ["hours", 3_600_000], ["minutes", 60_000], ["seconds", 1000]] as const;

/** The figure, or null where the logs tell nothing of checkpoints. */
export function storageHistory({ storage }: StudyReport): Markup | null {
  const { points, prunings, capBytes } = storage;
  if (points.length === 0) return null;
  const peak = points.reduce((most, { bytes }) => Math.max(most, bytes), 0);
  const freed = prunings.reduce((sum, { freedBytes }) => sum + freedBytes, 0);
  const told = `At most ${formatBytes(peak)} at once; ${prunings.length} prunings freed ${formatBytes(freed)}` +
    (capBytes === null ? "." : `; the cap is ${formatBytes(capBytes)}.`);
  return figure(
    "Storage over time",
    `Bytes of the study's checkpoints. ${told}`,
    [
      legend([
        ["complete", "line", "checkpoints"],
        ...(prunings.length > 0 ? [["pruning", "triangle", "pruning"] as const] : []),
      ]),
      twice((size, kind) =>
        draw(points, prunings, capBytes, peak, size, kind, `Bytes of checkpoints over time. ${told}`)
      ),
    ],
  );
}

function draw(
  points: readonly StoragePoint[],
  prunings: readonly Pruning[],
  capBytes: number | null,
  peak: number,
  size: Size,
  kind: string,
  label: string,
): Markup {
  const area = drawingArea(size, { left: 66 });
  const start = points[0]!.time;
  const length = Math.max(1000, points.at(-1)!.time - start);
  const [unit, milliseconds] = UNITS.find(([, one]) => length >= 2 * one) ?? UNITS[3];
  const x = linearScale([0, length / milliseconds], area.x, kind === "wide" ? 8 : 4);
  const capShown = capBytes !== null && capBytes <= 1.5 * peak;
  const top = Math.max(peak, capShown ? capBytes : 0, 1) * 1.05;
  const power = 1000 ** Math.floor(Math.log10(top) / 3);
  const inUnit = linearScale([0, top / power], area.y);
  const y = (bytes: number) => inUnit.position(bytes / power);
  const ticks: Tick[] = inUnit.ticks.map(({ at, label }) => ({
    at,
    label: label === "0" ? "0" : formatBytes(Number(label) * power),
  }));
  const at = (time: number) => x.position((time - start) / milliseconds);
  const d = thinned(points, at).map(({ time, bytes }, i) =>
    i === 0 ? `M${px(at(time))} ${px(y(bytes))}` : `H${px(at(time))}V${px(y(bytes))}`
  ).join("");
  const cap = capShown && markup`<path class="cap" d="M${px(area.x.from)} ${px(y(capBytes))}H${px(area.x.to)}"/>`;
  const marks = gathered(prunings, at).map((group) => {
    const freed = group.reduce((sum, { freedBytes }) => sum + freedBytes, 0);
    const count = group.reduce((sum, { checkpoints }) => sum + checkpoints, 0);
    const text = `pruned ${count} checkpoint${count === 1 ? "" : "s"}, ${formatBytes(freed)} freed, ${
      formatBytes(group.at(-1)!.bytes)
    } left`;
    return { x: at(group[0]!.time), y: area.y.from - 1, text };
  });
  return image(size, label, [
    axes({ area, x, y: { ticks }, xLabel: `${unit} since the first checkpoint`, yLabel: "" }),
    cap,
    markup`<path class="area" d="${d}V${px(area.y.from)}H${px(at(start))}z"/><path class="line complete" d="${d}"/>`,
    dots("pruning", "triangle", marks),
  ], kind);
}

/** The points that show: of each pixel's the first, the least, the most and the last. */
function thinned(points: readonly StoragePoint[], at: (time: number) => number): StoragePoint[] {
  const columns = Map.groupBy(points, ({ time }) => Math.round(at(time)));
  return [...columns.values()].flatMap((column) => {
    if (column.length <= 4) return column;
    const by = (sign: number) => column.reduce((a, b) => sign * b.bytes > sign * a.bytes ? b : a);
    const chosen = new Set([column[0], by(-1), by(1), column.at(-1)]);
    return column.filter((point) => chosen.has(point));
  });
}

/** Prunings whose marks would lie on each other, together. */
function gathered(prunings: readonly Pruning[], at: (time: number) => number): Pruning[][] {
  const groups: Pruning[][] = [];
  let from = -Infinity;
  for (const pruning of prunings) {
    if (groups.length > 0 && at(pruning.time) - from < 8) groups.at(-1)!.push(pruning);
    else {
      groups.push([pruning]);
      from = at(pruning.time);
    }
  }
  return groups;
}
