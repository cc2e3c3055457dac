// Elements and numbers. Text reaches the page through here, as text and never as markup.
"use strict";

// element("td", {class: "number"}, "64", element("small", {}, "..."))
codonbench.element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false && child !== ""));
  return made;
};

codonbench.words = (() => {
  const whole = d3.format(",.0f");
  const number = (value) => (Number.isInteger(value) || Math.abs(value) >= 100 ? whole(value) : d3.format(".3~g")(value));
  // 2688 -> 2.7k
  const short = (value) => (value < 1000 ? whole(value) : d3.format(".2~s")(value));
  const percent = (share) => `${Math.round(100 * share)}`;
  // A censored value: null is "never within the budget".
  const censored = (value, budget) => (value == null ? (budget ? `> ${whole(budget)}` : "never") : number(value));
  // How a column writes a figure: with so many decimals, or as a position that may be beyond the budget.
  const written = ({ limited, digits }, budget) => (limited || digits == null ? (value) => censored(value, limited ? budget : null) : d3.format(`,.${digits}f`));
  const plural = (n, word) => `${whole(n)} ${word}${n === 1 ? "" : "s"}`;
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
  // A model's name, the shortest of its settings first: cut at their end, names of one checkpoint would look alike.
  const name = (label, most) => {
    const [, model, settings, supplier] = /^(.*?) \((.*)\)( by .*)?$/.exec(label) ?? [];
    if (label.length <= most || !model) return cut(label, most);
    const between = settings.includes("; ") ? "; " : ", ";
    return cut(`${model} (${settings.split(between).sort((a, b) => a.length - b.length).join(between)})${supplier ?? ""}`, most);
  };
  const folded = "rows are cross-validated: a seed trains one module per fold and has no single curve"; // why there are none
  return { cut, folded, name, whole, number, short, percent, censored, written, plural };
})();

// A labelled choice among [value, text].
codonbench.choice = (text, options, value) => {
  const { element } = codonbench;
  const select = element("select", {}, ...options.map(([v, label]) => element("option", { value: v, selected: String(v) === String(value) }, label)));
  return { select, label: element("label", { class: "choice" }, `${text} `, select), value: () => select.value };
};

// A chart as one picture with a name; what its groups are is no name that a screen reader may read.
codonbench.plot = (options) => {
  const made = Plot.plot(options);
  made.setAttribute("role", "img");
  for (const group of made.querySelectorAll("g[aria-label]")) {
    group.dataset.mark = group.getAttribute("aria-label");
    group.removeAttribute("aria-label");
  }
  return made;
};

codonbench.note = (text) => codonbench.element("p", { class: "muted note" }, text);

// What plugins draw of a row, by name; figures.py says what each has.
codonbench.figures = {};
