/** The study's page as a browser shows it, on a desk and on a phone, light and dark. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { studyReportHtml } from "../../lib/report/study_report/page.ts";
import { findChromium, type Page, startChromium } from "../support/chromium.ts";
import { HOSTILE, studyReportOf } from "../support/study_report.ts";
import { resultOf, runCommand, TINY, withFolder } from "../support/commands.ts";

const chromium = findChromium();
const skipped = chromium === null ? " (skipped: no Chromium in PATH; WINNOW_CHROMIUM names one)" : "";

/** What is wrong with the charts that are shown: one without marks, of no size, or with a text beyond its edge. */
const BAD_CHARTS = `[...document.querySelectorAll("svg.chart")].filter((svg) => svg.getClientRects().length > 0)
  .flatMap((svg) => {
    const box = svg.getBoundingClientRect(), name = svg.getAttribute("aria-label");
    const marks = [...svg.querySelectorAll(".mark,.bar,.cell")].filter((mark) => {
      const { left, right, top, bottom } = mark.getBoundingClientRect();
      const inside = left >= box.left - 9 && right <= box.right + 9 && top >= box.top - 9 && bottom <= box.bottom + 9;
      return inside && /\\d/.test(mark.getAttribute("d") ?? mark.getAttribute("x"));
    });
    const lost = svg.querySelectorAll(".mark,.bar,.cell").length - marks.length;
    const beyond = [...svg.querySelectorAll("text")].filter((text) => {
      const { left, right, top, bottom } = text.getBoundingClientRect();
      return left < box.left - 2 || right > box.right + 2 || top < box.top - 2 || bottom > box.bottom + 2;
    });
    return [
      ...(lost > 0 ? [lost + " marks beyond the edge: " + name] : []),
      ...(marks.length === 0 ? ["no marks: " + name] : []),
      ...(box.width < 100 || box.height < 50 ? ["no size: " + name] : []),
      ...beyond.map((text) => "beyond the edge: " + text.textContent + " of " + name),
    ];
  })`;

/** Opens a page's file and checks what must hold of any. */
async function check(page: Page, path: string, width: number, figures: number): Promise<void> {
  await page.open(`file://${path}`);
  assert.deepEqual(await page.evaluate(BAD_CHARTS), []);
  const shown = `[...document.querySelectorAll("svg.chart")].filter((one) => one.getClientRects().length > 0).length`;
  assert.equal(await page.evaluate(shown), figures);
  const [content, screen] = await page.evaluate<[number, number]>(
    "[document.documentElement.scrollWidth, document.documentElement.clientWidth]",
  );
  assert.ok(content <= screen && screen <= width, `the content is ${content} wide, the screen ${screen} of ${width}`);
  assert.deepEqual(page.messages, [], "the console is silent");
  assert.deepEqual(page.requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:")), []);
}

const VIEWS = [1280, 375].flatMap((width) =>
  (["light", "dark"] as const).map((scheme) => ({ width, height: 900, scheme }))
);

Deno.test({
  name: `the page of a large study with hostile names, in Chromium: marks in every chart, nothing cut off${skipped}`,
  ignore: chromium === null,
  async fn() {
    await withFolder(async (folder) => {
      const path = join(folder, "report.html");
      const names = { study: HOSTILE, parameter: HOSTILE, category: HOSTILE, criterion: HOSTILE };
      const report = studyReportOf(1000, { epochs: 12, floats: 8, names, text: HOSTILE.repeat(5) });
      await Deno.writeTextFile(path, studyReportHtml(report));
      await using browser = await startChromium(chromium!);
      for (const view of VIEWS) {
        const page = await browser.newPage(view);
        await check(page, path, view.width, 5 - 1 + 1 + 11 + 2 + 1 + 2);
        await page.close();
      }
    });
  },
});

Deno.test({
  name: `the page in Chromium: arrow keys tell of marks, headings sort the table, colours follow the scheme${skipped}`,
  ignore: chromium === null,
  async fn() {
    await withFolder(async (folder) => {
      const path = join(folder, "report.html");
      await Deno.writeTextFile(path, studyReportHtml(studyReportOf(30)));
      await using browser = await startChromium(chromium!);
      const page = await browser.newPage(VIEWS[0]!);
      await page.open(`file://${path}`);
      const tip = `document.getElementById("tip").textContent`;
      await page.evaluate(`document.querySelector("svg.chart").focus()`);
      await page.press("ArrowRight");
      assert.match(await page.evaluate(tip), /^trial 0, complete, 0\.\d{4}$/);
      await page.press("End");
      assert.match(await page.evaluate(tip), /^trial 29, /);
      await page.press("Escape");
      assert.equal(await page.evaluate(`document.getElementById("tip").hidden`), true);
      const column = `[...document.querySelectorAll("#trials tbody tr")].map((row) => row.cells[2].textContent)`;
      const click = `document.querySelectorAll("#trials th button")[2].click()`;
      await page.evaluate(click);
      const rising = await page.evaluate<string[]>(column);
      const values = rising.filter((text) => text !== "-");
      assert.deepEqual(values, values.toSorted());
      assert.deepEqual(rising.slice(values.length), rising.filter((text) => text === "-"), "those without are last");
      await page.evaluate(click);
      assert.deepEqual((await page.evaluate<string[]>(column)).slice(0, values.length), values.toReversed());
      const ground = `getComputedStyle(document.body).backgroundColor`;
      const dark = await browser.newPage(VIEWS[1]!);
      await dark.open(`file://${path}`);
      assert.notEqual(await page.evaluate(ground), await dark.evaluate(ground));
      assert.deepEqual([...page.messages, ...dark.messages], []);
    });
  },
});

Deno.test("a study leaves its page; report writes it again, with text of posts only where that is asked for", async (t) => {
  await withFolder(async (folder) => {
    const experiments = `paths.experiments=${join(folder, "experiments")}`;
    const settings = [...TINY, "study.n_trials=2", experiments];
    const study = resultOf(await runCommand("train", ["--json", ...settings]));
    const own = join(folder, "experiments", `study_${study.study_id}`, "report.html");
    const posts = postTexts(join(folder, "experiments", "data"));
    assert.equal(posts.length, 60);
    const holdsText = (html: string) => posts.some((text) => html.includes(text));

    await t.step("without the flag there is no text of a post in it", async () => {
      assert.ok(!holdsText(await Deno.readTextFile(own)));
      await Deno.remove(own);
      const result = resultOf<Record<string, unknown>>(await runCommand("report", ["--json", experiments]));
      assert.deepEqual(
        [result["study_id"], result["report"], result["trials"], result["with_text"], result["best_trial_id"]],
        [study.study_id, own, 2, false, study.best_trial_id],
      );
      const html = await Deno.readTextFile(own);
      assert.equal(result["bytes"], new TextEncoder().encode(html).length);
      assert.ok(!holdsText(html));
      assert.ok(html.includes("Storage over time") && html.includes("Learning curves"));
    });

    await t.step("with the flag it is another file, among the other text of posts", async () => {
      const id = ["--study-id", study.study_id];
      const result = resultOf<{ report: string }>(
        await runCommand("report", ["--json", "--with-text", ...id, experiments]),
      );
      assert.equal(result.report, join(folder, "experiments", "data", "reports", `study_${study.study_id}.html`));
      assert.ok(holdsText(await Deno.readTextFile(result.report)));
      assert.ok(!holdsText(await Deno.readTextFile(own)));
      const found = await runCommand("cleanup", ["--data", experiments]);
      assert.match(found.stdout, /data\/reports .*pages of studies with text of posts/);
    });

    await t.step("an unknown study, and a folder without one, are told", async () => {
      const unknown = await runCommand("report", ["--study-id", "nothing", experiments]);
      assert.deepEqual([unknown.code, unknown.stderr.includes(study.study_id)], [2, true], unknown.stderr);
      const none = await runCommand("report", [`paths.experiments=${join(folder, "none")}`]);
      assert.equal(none.code, 2);
      assert.match(none.stderr, /no study in/);
    });

    if (chromium === null) return;
    await t.step("Chromium shows its figures with data", async () => {
      await using browser = await startChromium(chromium);
      for (const view of VIEWS) {
        const page = await browser.newPage(view);
        await page.open(`file://${own}`);
        const figures = await page.evaluate<number>(`document.querySelectorAll("figure").length`);
        await check(page, own, view.width, figures);
        assert.ok(figures >= 8, `${figures} figures`);
        await page.close();
      }
    });
  });
});

/** The texts of the generated posts: the third of each that is in the middle, without what a table or HTML would quote. */
function postTexts(folder: string): string[] {
  const [sample] = [...Deno.readDirSync(folder)].filter(({ name }) => name.startsWith("synthetic"));
  const table = Deno.readTextFileSync(join(folder, sample!.name, "redsm5_posts.csv"));
  return table.split(/^(?=syn_)/m).slice(1).map((row) => {
    const sentences = row.split(/[\n".,!?'’&<>]+/).map((one) => one.trim()).filter((one) => one.length > 15);
    return sentences[Math.floor(sentences.length / 2)]!;
  });
}
