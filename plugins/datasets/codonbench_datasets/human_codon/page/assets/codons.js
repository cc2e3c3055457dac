// After how many pairs each codon is known, on the table of textbooks: a real table, read cell by cell.
"use strict";

codonbench.codons.table = (() => {
  const { element, words } = codonbench;
  const { NEVER } = codonbench.codons;

  // which: "right_since" or "first_right"; only: a seed, or null for the median over seeds.
  function build(picture, table, which, only) {
    const { axes } = picture;
    const seeds = only == null ? picture.seeds : picture.seeds.filter((s) => s.seed === only);
    const value = axes.inputs.map((_, i) => middle(seeds.map((s) => s[which][i])));
    const known = value.filter((x) => x > 0 && x !== NEVER);
    const colour = d3.scaleSequentialLog(known.length ? d3.extent(known).map((x, k) => (k ? x * 1.001 : x)) : [1, 2], d3.interpolateCividis);
    const labels = letters(picture, table, only);
    const cell = (i) => {
      const never = value[i] === NEVER;
      const made = element("td", { class: never ? "codon never" : "codon", title: never ? "not right at the end" : `${words.whole(value[i])} pairs` },
        element("b", {}, axes.inputs[i]), labels && element("span", {}, labels[i]), element("span", { class: "pairs" }, never ? "never" : words.short(value[i])));
      if (!never) { const fill = d3.color(colour(Math.max(value[i], 1))); made.style.background = fill; made.style.color = d3.lab(fill).l > 49 ? "#111" : "#fff"; }
      return made;
    };
    return axes.length === 3 && axes.alphabet.length === 4 && axes.inputs.length === 64 ? classic(axes, cell) : plain(axes, cell);
  }

  // Rows by first and third letter, columns by the second.
  function classic(axes, cell) {
    const bases = [...axes.alphabet];
    const at = new Map(axes.inputs.map((text, i) => [text, i]));
    const head = element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "1st"), ...bases.map((b) => element("th", { scope: "col" }, b)), element("th", { scope: "col" }, "3rd")));
    const groups = bases.map((first) => element("tbody", {}, ...bases.map((third, k) => element("tr", {},
      k === 0 && element("th", { scope: "rowgroup", rowspan: 4 }, first),
      ...bases.map((second) => (at.has(first + second + third) ? cell(at.get(first + second + third)) : element("td"))),
      element("th", { scope: "row" }, third)))));
    return element("table", { class: "codons" }, element("caption", { class: "hidden" }, "Pairs by codon: columns are the second letter"), head, ...groups);
  }

  function plain(axes, cell) {
    const rows = d3.groups(d3.range(axes.inputs.length), (i) => Math.floor(i / 5)).map(([, few]) => element("tr", {}, ...few.map(cell)));
    return element("div", { class: "scroll short", tabindex: 0, role: "region", "aria-label": `Pairs by ${axes.unit}` }, element("table", { class: "codons" }, element("tbody", {}, ...rows)));
  }

  // The (lower) median; never is last.
  function middle(values) {
    return d3.sort(values)[Math.floor((values.length - 1) / 2)];
  }

  // Class names, where all runs on show share one code or only the run of the heat map is shown.
  function letters(picture, table, only) {
    const heat = picture.heat_map;
    if (!heat || (table.control && only !== heat.seed)) return null;
    return heat.labels.map((label) => picture.axes.classes[label]);
  }

  return { build };
})();
