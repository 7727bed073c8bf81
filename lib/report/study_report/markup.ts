/**
 * HTML and SVG by a tagged template that escapes whatever is put in, so that a post, a study's name or a category can be
 * text on the page and nothing else.
 */

/** Markup that is put in as it is. */
export interface Markup {
  readonly markup: string;
}

/** What a template takes; null, undefined and false are nothing. */
export type Part = Markup | string | number | null | undefined | false | readonly Part[];

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  // A character that HTML replaces: it must not come to be part of a name.
  "\0": "\uFFFD",
};

/** Text as it stands in an element or in a quoted attribute. */
export const escapeText = (text: string): string => text.replace(/[&<>"'\0]/g, (character) => ESCAPES[character]!);

function render(part: Part): string {
  if (part === null || part === undefined || part === false) return "";
  if (typeof part === "string") return escapeText(part);
  if (typeof part === "number") return String(part);
  return "markup" in part ? part.markup : part.map(render).join("");
}

/** Markup of a template whose values are escaped, but for markup. */
export function markup(texts: TemplateStringsArray, ...parts: readonly Part[]): Markup {
  return { markup: texts.map((text, i) => text + (i < parts.length ? render(parts[i]) : "")).join("") };
}

/** A text that is trusted to be markup: files of this project, never anything from outside. */
export const trusted = (text: string): Markup => ({ markup: text });

/** A coordinate to a tenth of a pixel. */
export const px = (value: number): string => String(Math.round(value * 10) / 10);
