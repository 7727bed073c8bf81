/**
 * What all charts are made of: an SVG with a name for those who cannot see it, axes with gridlines, and marks that the
 * page's script can find. A mark is a vertex `M x y` or `L x y` of a path; `data-t` has the trials of the vertices (or one
 * for all), `data-v` a text for each, and `data-n` a name for all.
 */
import { type Markup, markup, type Part, px } from "../markup.ts";
import type { Scale, Span } from "./scale.ts";

/** The size of a chart in its own units, which are pixels where it is not scaled. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A chart over the page's width, one over a phone's, and one of several side by side. */
export const WIDE: Size = { width: 920, height: 340 };
export const NARROW: Size = { width: 343, height: 270 };
export const SMALL: Size = { width: 343, height: 240 };

/** A point with what is said of it. */
export interface Mark {
  readonly x: number;
  readonly y: number;
  readonly trial?: number;
  readonly text?: string;
}

/** Room around the drawing: of what axes and labels need. */
const MARGIN = { top: 14, right: 14, bottom: 40, left: 58 };

/** The horizontal and the vertical extent of a chart's drawing. */
export function drawingArea({ width, height }: Size, margin: Partial<typeof MARGIN> = {}): { x: Span; y: Span } {
  const { top, right, bottom, left } = { ...MARGIN, ...margin };
  return { x: { from: left, to: width - right }, y: { from: height - bottom, to: top } };
}

/** An SVG image with its text alternative. It can be focused, so that the marks can be gone through by keys. */
export function image({ width, height }: Size, label: string, content: Part, kind = ""): Markup {
  return markup`<svg class="chart ${kind}" viewBox="0 0 ${px(width)} ${
    px(height)
  }" role="img" tabindex="0" aria-label="${label}">${content}</svg>`;
}

/** A chart drawn twice, for wide and for narrow screens; one of the two is shown. */
export function twice(draw: (size: Size, kind: "wide" | "narrow") => Markup): Markup {
  return markup`${draw(WIDE, "wide")}${draw(NARROW, "narrow")}`;
}

/** The two axes of a drawing. */
export interface Axes {
  readonly area: { readonly x: Span; readonly y: Span };
  readonly x: Pick<Scale<never>, "ticks">;
  readonly y: Pick<Scale<never>, "ticks">;
  readonly xLabel: string;
  readonly yLabel: string;
}

/** About the width of a text of 12 pixels. */
export const textWidth = (text: string): number => 6.6 * [...text].length;

/** A text that fits into a width, with an ellipsis where something is left out. */
export function fitted(text: string, width: number): string {
  const characters = [...text];
  const room = Math.max(1, Math.floor(width / 6.6));
  return characters.length <= room ? text : characters.slice(0, Math.max(1, room - 1)).join("") + "…";
}

/** Gridlines, ticks and names of both axes. Labels that would touch are left out, or shortened where they are words. */
export function axes({ area: { x, y }, ...axis }: Axes): Markup {
  const grid = axis.y.ticks.map(({ at }) => `M${px(x.from)} ${px(at)}H${px(x.to)}`).join("");
  const yLabels = axis.y.ticks.map(({ at, label }) =>
    markup`<text x="${px(x.from - 7)}" y="${px(at + 4)}" class="end">${fitted(label, x.from - 18)}</text>`
  );
  return markup`<path class="grid" d="${grid}"/><path class="axis" d="M${px(x.from)} ${px(y.from)}H${
    px(x.to)
  }"/>${yLabels}${xTicks(axis.x.ticks, x, y.from)}<text class="name" x="${px((x.from + x.to) / 2)}" y="${
    px(y.from + 34)
  }">${fitted(axis.xLabel, x.to - x.from)}</text><text class="name" transform="translate(12 ${
    px((y.from + y.to) / 2)
  })rotate(-90)">${fitted(axis.yLabel, y.from - y.to)}</text>`;
}

function xTicks(ticks: Axes["x"]["ticks"], x: Span, y: number): Markup[] {
  const gap = ticks.length > 1 ? Math.abs(ticks[1]!.at - ticks[0]!.at) : x.to - x.from;
  // Words are shortened to their share; numbers that have no room are left out.
  const isNumeric = ticks.every(({ label }) => label !== "" && Number.isFinite(Number(label)));
  let free = -Infinity;
  return ticks.flatMap(({ at, label }) => {
    const shown = isNumeric ? label : fitted(label, gap - 4);
    const half = textWidth(shown) / 2;
    if (at - half < free) return [];
    free = at + half + 6;
    return [markup`<text x="${px(at)}" y="${px(y + 17)}" class="middle">${shown}</text>`];
  });
}

/** Shapes that tell groups of dots apart, whatever their colours look like. */
const SHAPES = {
  dot: "h0",
  square: "h0",
  cross: "m-4-4l8 8m0-8l-8 8",
  triangle: "m-5 4h10l-5-9z",
} as const;

/** Dots of one kind in one path: a page of thousands of them stays small and is drawn at once. */
export function dots(kind: string, shape: keyof typeof SHAPES, marks: readonly Mark[]): Markup | null {
  if (marks.length === 0) return null;
  const d = marks.map(({ x, y }) => `M${px(x)} ${px(y)}${SHAPES[shape]}`).join("");
  const size = marks.length > 300 ? " many" : "";
  return markup`<path class="mark ${shape} ${kind}${size}"${about(marks)} d="${d}"/>`;
}

/** A line through its marks; `name` is said of all of them. */
export function line(kind: string, marks: readonly Mark[], name?: string): Markup | null {
  if (marks.length === 0) return null;
  const [first, ...rest] = marks;
  // A single point shows as a dot.
  const d = `M${px(first!.x)} ${px(first!.y)}${
    rest.length === 0 ? "h0" : rest.map(({ x, y }) => `L${px(x)} ${px(y)}`).join("")
  }`;
  return markup`<path class="mark line ${kind}"${name !== undefined && markup` data-n="${name}"`}${
    about(marks)
  } d="${d}"/>`;
}

/** The attributes that the script reads. */
function about(marks: readonly Mark[]): Markup {
  const trials = marks.flatMap(({ trial }) => trial ?? []);
  const same = trials.length > 0 && trials.every((trial) => trial === trials[0]);
  const texts = marks.some(({ text }) => text !== undefined);
  return markup`${trials.length > 0 && markup` data-t="${same ? String(trials[0]) : trials.join(" ")}"`}${
    texts && markup` data-v="${marks.map(({ text = "" }) => text.replaceAll("|", "¦")).join("|")}"`
  }`;
}

/** A legend: names with the marks that stand for them. */
export function legend(
  entries: readonly (readonly [kind: string, shape: keyof typeof SHAPES | "line", name: string])[],
) {
  return markup`<ul class="legend">${
    entries.map(([kind, shape, name]) => {
      const d = shape === "line" ? "M1 8H19" : `M10 8${SHAPES[shape]}`;
      return markup`<li><svg viewBox="0 0 20 16" aria-hidden="true"><path class="mark ${shape} ${kind}" d="${d}"/></svg> ${name}</li>`;
    })
  }</ul>`;
}

/** A figure with its heading, a line about it, and the chart. */
export function figure(title: Part, about: Part, content: Part, kind = ""): Markup {
  return markup`<figure class="${kind}"><figcaption><h3>${title}</h3>${
    about && markup`<p>${about}</p>`
  }</figcaption>${content}</figure>`;
}
