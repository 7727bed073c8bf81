// The study report's script: tables are sorted by their headings, and charts tell of the mark that is nearest to the pointer
// or chosen by the arrow keys. The page says all without it.
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  /** How near the pointer must be to a mark, in pixels of the screen. */
  const REACH = 28;

  const keyOf = (row, column) => {
    const cell = row.cells[column];
    const text = cell === undefined ? "" : cell.dataset.k ?? cell.textContent.trim();
    const number = Number(text);
    return text === "" || text === "-" ? null : Number.isNaN(number) ? text : number;
  };
  const compare = (a, b) => {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return typeof a === "number" ? a - b : a.localeCompare(b);
  };
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => {
      const head = button.closest("th"), body = head.closest("table").tBodies[0];
      const descending = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => ({ row, key: keyOf(row, head.cellIndex) }));
      // Rows without a value stay at the end, in either order.
      rows.sort((a, b) => {
        if (a.key === null || b.key === null) return Number(a.key === null) - Number(b.key === null);
        return descending ? compare(b.key, a.key) : compare(a.key, b.key);
      });
      body.append(...rows.map(({ row }) => row));
    });
  }

  const tip = document.getElementById("tip");
  /** Marks of a chart by x, in the chart's own units; read when the chart is first looked at. */
  const known = new WeakMap();
  const marksOf = (svg) => {
    let marks = known.get(svg);
    if (marks) return marks;
    marks = [];
    for (const path of svg.querySelectorAll("path[data-t],path[data-v]")) {
      const { t = "", v, n } = path.dataset;
      const trials = t.split(" "), texts = v === undefined ? [] : v.split("|");
      let i = 0;
      for (const [, x, y] of path.getAttribute("d").matchAll(/[ML](-?[\d.]+) (-?[\d.]+)/g)) {
        marks.push({
          x: Number(x),
          y: Number(y),
          trial: trials.length > 1 ? trials[i] : t,
          text: texts[i] ?? "",
          name: n,
        });
        i++;
      }
    }
    marks.sort((a, b) => a.x - b.x || a.y - b.y);
    known.set(svg, marks);
    return marks;
  };
  const tell = ({ trial, text, name }) => {
    const parts = [];
    if (trial !== "") {
      const row = document.getElementById(`t${trial}`);
      const [, state, value] = row === null ? [] : [...row.cells].map((cell) => cell.textContent.trim());
      parts.push([`trial ${trial}`, state, value].filter(Boolean).join(", "));
    }
    if (name) parts.push(name);
    if (text) parts.push(text);
    return parts.join("\n");
  };
  let shown = null;
  const hide = () => {
    if (shown === null) return;
    shown.cursor.remove();
    shown = null;
    tip.hidden = true;
  };
  const show = (svg, index) => {
    const mark = marksOf(svg)[index];
    if (shown !== null && shown.svg === svg && shown.index === index) return;
    hide();
    const cursor = document.createElementNS(SVG, "circle");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("r", "7");
    cursor.setAttribute("cx", String(mark.x));
    cursor.setAttribute("cy", String(mark.y));
    svg.append(cursor);
    shown = { svg, index, cursor };
    tip.textContent = tell(mark);
    tip.hidden = false;
    const place = cursor.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(place.x + place.width / 2 - box.width / 2, 8), innerWidth - box.width - 8);
    const above = place.y - box.height - 6;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 4 ? above : place.bottom + 6}px`;
  };
  for (const svg of document.querySelectorAll("svg.chart")) {
    svg.addEventListener("pointermove", (event) => {
      const marks = marksOf(svg), box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const x = (event.clientX - box.x) * scale, y = (event.clientY - box.y) * scale;
      let best = -1, least = (REACH * scale) ** 2;
      marks.forEach((mark, i) => {
        const distance = (mark.x - x) ** 2 + (mark.y - y) ** 2;
        if (distance < least) [best, least] = [i, distance];
      });
      if (best < 0) hide();
      else show(svg, best);
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const last = marksOf(svg).length - 1;
      const at = shown !== null && shown.svg === svg ? shown.index : -1;
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: last }[event.key];
      if (event.key === "Escape") hide();
      if (next === undefined || last < 0) return;
      event.preventDefault();
      show(svg, Math.min(Math.max(next, 0), last));
    });
  }
  addEventListener("scroll", hide, { passive: true });
})();
