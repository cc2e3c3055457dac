// One model: its facts and its pictures. Pictures lie in a file of their own, loaded when asked for.
"use strict";

codonbench.ranking.rows = (() => {
  const { element, words } = codonbench;
  const section = () => document.getElementById("row");
  const waiting = new Map(); // row id -> what to do with its pictures
  let drawing = null; // what a change of width or theme calls for

  // Called by the row's file.
  codonbench.row = (picture) => waiting.get(picture.row)?.resolve(picture);

  function load(id) {
    if (!/^[0-9a-f]{16}$/.test(id)) return Promise.reject(new Error("not a row"));
    if (!waiting.has(id)) {
      const entry = {};
      entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
      waiting.set(id, entry);
      document.head.append(element("script", { src: `rows/${id}.js`, onerror: () => { waiting.delete(id); entry.reject(new Error("its file is missing")); } }));
    }
    return waiting.get(id).promise.then(codonbench.unpackAll);
  }

  async function open(row, table) {
    close();
    const box = section();
    const heading = element("h2", { id: "row-title", tabindex: -1 }, element("bdi", {}, codonbench.label(row)));
    const body = element("div", { class: "pictures" });
    box.replaceChildren(element("div", { class: "row-head" }, heading, element("a", { href: "#board", class: "close" }, "Close")), facts(row, table), body, perSeed(row));
    box.hidden = false;
    heading.focus({ preventScroll: true });
    box.scrollIntoView({ block: "start" });
    if (!row.pictures) return body.append(note("No trace of this row was at hand, so there are no pictures. A row that was computed and not trained has none."));
    if (!codonbench.canUnpack()) return body.append(note("This browser is too old to unpack the pictures (it lacks DecompressionStream)."));
    body.append(note("Loading pictures…"));
    try {
      const picture = await load(row.id);
      if (heading.isConnected) figures(body, picture, table);
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

  function figures(body, picture, table) {
    const { seeds, axes, heat_map: heat, embedding } = picture;
    const front = heat && seeds.some((s) => s.seed === heat.seed) ? heat.seed : seeds[0].seed;
    const unit = axes.unit;
    const pickSeed = choice("Seed in front", seeds.map((s) => [s.seed, `seed ${s.seed}`]), front);
    const curves = element("div", { class: "charts" });
    const stops = element("div", { class: "charts" });
    const parts = [];
    const add = (title, caption, ...content) => parts.push(element("figure", {}, element("h3", {}, title), element("figcaption", {}, caption), ...content));

    add("Learning curves", `How much of the code each run knows after so many pairs: all ${seeds.length} seeds, the log axis beginning before the first pair. The dashed upright line is the median point at which a stream has shown every ${unit}: nobody who learns from pairs alone can be sure earlier.`, pickSeed.label, curves);

    const map = heat && element("div", { class: "heat" });
    const mapView = map && codonbench.heatMap.build(map, picture);
    if (map) add("The code as it forms", `Each cell is the probability that the model gives a class for a ${unit}, brighter for surer, outlined where the class is the true one: a code that is known is a bright staircase. Move the slider through the training of seed ${heat.seed}, the median run${heat.probes > heat.pairs.length ? ` (${heat.pairs.length} of its ${words.whole(heat.probes)} probes)` : ""}. The second map shows the same run through the instrument of Joiret et al. (2023), which redraws only the ${unit}s in one batch of 64, three times an epoch, and whose colours are full at p = 0.056.`, map);

    const which = choice("Shown", [["right_since", "right for good"], ["first_right", "right for the first time"]], "right_since");
    const whose = choice("Of", [["", `the median of ${seeds.length} seeds`], ...seeds.map((s) => [s.seed, `seed ${s.seed}`])], "");
    const codonBox = element("div", { class: "codon-box" });
    add(`When each ${unit} was known`, `Pairs after which the model was right about a ${unit} — for good or for the first time; darker is earlier. What is late is rare, or hard to tell from its neighbours.`, element("div", { class: "choices" }, which.label, whose.label), codonBox);

    if (seeds[0].stops.length) add("Stop codons", `The probability of stop, given ${table.control ? "a codon that the run's own shuffled code makes stop" : "a stop codon: they are the rarest codons and mostly the last to be learned"}. The dotted line is 0.9, from which a model counts as sure.`, stops);

    const plane = embedding && element("div", { class: "plane" });
    if (plane) add("The embedding", `Where seed ${embedding.seed} put each ${unit} at its end${embedding.dimensions > 2 ? `, its ${embedding.dimensions} dimensions projected onto the two that vary most` : ""}: the letter is the class, and lines tie synonyms to their centre. What lies together is read alike.`, plane);

    const missing = drawnOf(picture, table);
    body.replaceChildren(...(missing ? [missing] : []), ...parts);

    const codons = () => codonBox.replaceChildren(codonbench.codonTable.build(picture, table, which.value(), whose.value() === "" ? null : +whose.value()));
    const lines = () => { codonbench.curves.draw(curves, picture, table, +pickSeed.value()); if (stops.isConnected) codonbench.curves.drawStops(stops, picture, table, +pickSeed.value()); };
    const all = () => { lines(); mapView?.draw(); if (plane) codonbench.plots.embedding.draw(plane, picture); };
    pickSeed.select.addEventListener("change", lines);
    which.select.addEventListener("change", codons);
    whose.select.addEventListener("change", codons);
    codons();
    all();
    drawing = watch(body, all, () => mapView?.stop());
  }

  // Draws again when the width or the theme changes.
  function watch(body, draw, stop) {
    let width = body.clientWidth;
    const observer = new ResizeObserver(() => { if (body.clientWidth !== width && body.clientWidth) { width = body.clientWidth; draw(); } });
    observer.observe(body);
    document.addEventListener("themechange", draw);
    return { stop: () => { observer.disconnect(); document.removeEventListener("themechange", draw); stop(); } };
  }

  function drawnOf(picture, table) {
    const all = table.rows.find((row) => row.id === picture.row).seeds.length;
    return picture.seeds.length < all && note(`Traces of ${picture.seeds.length} of ${all} seeds were at hand; the others are not drawn.`);
  }

  function facts(row, table) {
    const beside = row.beside.map((b) => [`Beside the control “${b.control}”`, ratio(b)]);
    const entries = [
      ["About", row.about.summary], ["Authors", row.about.authors], ["Reference", row.about.reference], ["Licence", row.about.licence], ["Pretrained on", row.about.pretrained_on],
      ["Version", row.version], ["Configuration", row.config], ["Parameters", words.whole(row.parameters)], ["Devices", row.devices.join(", ")],
      ...beside, ["Notes", row.notes.join("; ")],
    ].filter(([, text]) => text);
    return element("dl", { class: "facts" }, ...entries.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, element("bdi", {}, text)))));

    function ratio({ ratio: r, faster }) {
      if (!r) return "deciphered neither the real code nor one shuffled for each seed";
      const flag = faster ? ": faster on the real code" : "";
      if (r.value === 0) return `deciphered the real code and not one shuffled for each seed, in half of the seeds or more${flag}`;
      if (r.value == null) return "deciphered codes shuffled for each seed and not the real one, in half of the seeds or more";
      const show = (x) => (x == null ? "∞" : x.toFixed(2));
      return `needs ${show(r.value)} [${show(r.low)} to ${show(r.high)}] of the pairs that codes shuffled for each seed need${flag}`;
    }
  }

  function perSeed(row) {
    const names = Object.keys(row.values).filter((name) => row.values[name].some((x) => x != null));
    const show = (name, x) => (x == null ? (row.unanswered.includes(name) ? "not measured" : "never") : typeof x === "number" ? words.number(x) : String(x));
    const rows = row.seeds.map((seed, k) => [seed, ...names.map((name) => show(name, row.values[name][k]))]);
    return element("details", { class: "numbers" }, element("summary", {}, "Each seed in numbers"),
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Each seed in numbers" }, codonbench.grid(["seed", ...names.map((n) => n.replaceAll("_", " "))], rows)));
  }

  function choice(text, options, value) {
    const select = element("select", {}, ...options.map(([v, label]) => element("option", { value: v, selected: String(v) === String(value) }, label)));
    return { select, label: element("label", { class: "choice" }, `${text} `, select), value: () => select.value };
  }

  function note(text) {
    return element("p", { class: "muted note" }, text);
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
