// One model: its facts and its pictures. Pictures lie in a file of their own, loaded when asked for.
"use strict";

codonbench.rows = (() => {
  const { element, note, words } = codonbench;
  const section = () => document.getElementById("row");
  let drawing = null; // what a change of width or theme calls for

  async function open(row, table) {
    close();
    const box = section();
    const heading = element("h2", { id: "row-title", tabindex: -1 }, element("bdi", {}, codonbench.label(row)));
    const body = element("div", { class: "pictures" });
    box.replaceChildren(element("div", { class: "row-head" }, heading, element("a", { href: codonbench.address.to({ table: table.id }), class: "close" }, "Close")), facts(row, table), body, perSeed(row));
    box.hidden = false;
    heading.focus({ preventScroll: true });
    box.scrollIntoView({ block: "start" });
    if (!row.figures) return body.append(note(table.about.folded ? `No learning curves: ${words.folded}.` : "No learning curves: no trajectory of this row is available, or it was computed without training."));
    if (!codonbench.canUnpack()) return body.append(note("This browser is too old to unpack the pictures (it lacks DecompressionStream)."));
    body.append(note("Loading pictures…"));
    try {
      const content = await codonbench.load("row", row.id).then(codonbench.figures[row.figures].unpack);
      if (!heading.isConnected) return undefined;
      const view = codonbench.figures[row.figures].draw(body, content, table);
      drawing = watch(body, view.draw, view.stop);
    } catch (error) {
      body.replaceChildren(note(`The pictures could not be loaded: ${error.message}.`));
    }
    return undefined;
  }

  function close() {
    drawing?.stop();
    drawing = null;
    section().hidden = true;
    section().replaceChildren();
  }

  // Draws again when the width or the theme changes.
  function watch(body, draw, stop) {
    let width = body.clientWidth;
    const observer = new ResizeObserver(() => { if (body.clientWidth !== width && body.clientWidth) { width = body.clientWidth; draw(); } });
    observer.observe(body);
    document.addEventListener("themechange", draw);
    return { stop: () => { observer.disconnect(); document.removeEventListener("themechange", draw); stop(); } };
  }

  function facts(row, table) {
    const beside = row.beside.map((b) => [`Compared with control “${b.control}”`, ratio(b)]);
    const entries = [
      ["About", row.about.summary], ["Authors", row.about.authors], ["Reference", row.about.reference], ["Licence", row.about.licence], ["Pretrained on", row.about.pretrained_on],
      ["Model", element("a", { href: codonbench.address.to({ model: row.label }) }, "all tasks of this model, and how to repeat its rows")],
      ["Version", row.version], ["Configuration", row.config], ["Parameters, as reported by the worker", row.parameters ? words.whole(row.parameters) : "–"], ["Devices", row.devices.join(", ")],
      ["Clean", row.clean], ...beside, ["Notes", row.notes.join("; ")],
    ].filter(([, text]) => text);
    return element("dl", { class: "facts" }, ...entries.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text instanceof Node ? text : element("bdi", {}, text)))));

    function ratio({ ratio: r, faster }) {
      if (!r) return "got there neither without the control nor with it";
      const flag = faster ? ": faster than with the control" : "";
      if (r.value === 0) return `got there only without the control, in half of the seeds or more${flag}`;
      if (r.value == null) return "got there only with the control, in half of the seeds or more";
      const show = (x) => (x == null ? "∞" : x.toFixed(2));
      return `needs ${show(r.value)} [${show(r.low)} to ${show(r.high)}] times the pairs that it needs with the control${flag}`;
    }
  }

  function perSeed(row) {
    const names = Object.keys(row.values).filter((name) => row.values[name].some((x) => x != null));
    const show = (name, x) => (x == null ? (row.unanswered.includes(name) ? "not measured" : "never") : typeof x === "number" ? words.number(x) : String(x));
    const rows = row.seeds.map((seed, k) => [seed, ...names.map((name) => show(name, row.values[name][k]))]);
    return element("details", { class: "numbers" }, element("summary", {}, "Each seed in numbers"),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Each seed in numbers" }, codonbench.grid(["seed", ...names.map((n) => n.replaceAll("_", " "))], rows)));
  }

  return { open, close };
})();

// A plain table of text: numbers beside pictures.
codonbench.grid = (head, rows) => {
  const { element } = codonbench;
  return element("table", { class: "grid" },
    element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))),
    element("tbody", {}, ...rows.map(([first, ...rest]) => element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((text) => element("td", {}, text))))));
};
