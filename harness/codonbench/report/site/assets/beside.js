// Two rows of a task side by side, item by item: where they disagree.
"use strict";

codonbench.beside = (table, asked) => {
  const { address, byItem, choice, element, note, words } = codonbench;
  const box = document.getElementById("beside");
  const rows = table.rows;
  box.hidden = !table.compared || rows.length < 2;
  if (box.hidden) return;
  const [first, second] = (asked ?? "").split(".");
  const at = (id, otherwise) => Math.max(0, rows.findIndex((row) => row.id === id) + 1 || otherwise + 1) - 1;
  const options = rows.map((row, i) => [i, codonbench.label(row)]);
  const [one, other] = [choice("Row", options, at(first, 0)), choice("and", options, at(second, Math.max(1, rows.findIndex((row) => row.role === "reference"))))];
  const body = element("div", { class: "by-item" });
  const go = () => { window.location.hash = address.to({ table: table.id, beside: `${rows[one.value()].id}.${rows[other.value()].id}` }); };
  for (const pick of [one, other]) pick.select.addEventListener("change", go);
  const show = element("button", { type: "button", onclick: go }, "Show where they disagree");
  box.replaceChildren(element("h3", {}, "Two rows compared item by item"), one.label, " ", other.label, " ", show, body);
  if (asked) { show.remove(); draw().then(() => box.scrollIntoView({ block: "start" })); }

  async function draw() {
    const [a, b] = [rows[one.value()], rows[other.value()]];
    try {
      const questions = await byItem.questions(table);
      const [own, others] = await Promise.all([byItem.answersOf(a, questions), byItem.answersOf(b, questions)]);
      const compare = own.sure ? rightness : questions.right ? distance : apart;
      body.replaceChildren(...compare(questions, a, own, b, others));
    } catch (error) {
      body.replaceChildren(note(`The rows cannot be compared item by item: ${error.message}.`));
    }
  }

  function rightness(questions, a, own, b, others) {
    const n = questions.right.length;
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) counts[2 * (own.answer[i] === questions.right[i]) + (others.answer[i] === questions.right[i])]++;
    const [neither, onlyB, onlyA, both] = counts;
    const names = [a, b].map((row) => words.name(codonbench.label(row), 40));
    const share = (count) => `${words.whole(count)} (${words.percent(count / n)} %)`;
    const items = d3.range(n);
    const gap = (i) => own.sure[i] - others.sure[i];
    const step = Math.max(1, Math.ceil(n / 2000));
    return [
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Right and wrong" }, codonbench.grid(["most seeds", `${names[1]} right`, `${names[1]} wrong`], [[`${names[0]} right`, share(both), share(onlyA)], [`${names[0]} wrong`, share(onlyB), share(neither)]])),
      codonbench.plot({
        width: byItem.wide(box, 460), height: 420, marginLeft: 50, ariaLabel: "Probability that each row gives to the true class, one dot per item",
        x: { label: `${names[0]}: p(true)`, domain: [0, 1], grid: true }, y: { label: `${names[1]}: p(true)`, domain: [0, 1], grid: true },
        marks: [Plot.line([[0, 0], [1, 1]], { stroke: "var(--muted)", strokeDasharray: "4 4" }), Plot.dot(items.filter((i) => i % step === 0), { x: (i) => own.sure[i] / 255, y: (i) => others.sure[i] / 255, r: 2.5, fill: "var(--accent)", fillOpacity: 0.5 })],
      }),
      note(`Means over ${own.seeds.length} and ${others.seeds.length} seeds${step > 1 ? `; every ${step}th item is drawn` : ""}. Below the dashed line ${names[0]} gives the true class a higher probability.`),
      ...lists(questions, items, gap, names, (i) => [questions.names.length > 2 || questions.kind === "classes" ? questions.names[questions.right[i]] : String(questions.right[i]), (own.sure[i] / 255).toFixed(2), (others.sure[i] / 255).toFixed(2)], ["true", `${names[0]}: p(true)`, `${names[1]}: p(true)`]),
    ];
  }

  // Where what is right may not be published: what the two rows say, and where that differs by most.
  function apart(questions, a, own, b, others) {
    const names = [a, b].map((row) => words.name(codonbench.label(row), 40));
    const items = d3.range(own.answer.length);
    const gap = (i) => own.answer[i] - others.answer[i];
    return [
      note("The targets of these items may not be published, so the page cannot show which row is closer to them."),
      dots(items, own, others, names, d3.extent([...own.answer, ...others.answer])),
      ...lists(questions, items, gap, names, (i) => [words.number(own.answer[i]), words.number(others.answer[i])], names, "predicts more"),
    ];
  }

  function dots(items, own, others, names, [low, high]) {
    const step = Math.max(1, Math.ceil(items.length / 2000));
    return codonbench.plot({
      width: byItem.wide(box, 460), height: 420, marginLeft: 50, ariaLabel: "Predictions of the two rows, one dot per item", x: { label: names[0], grid: true }, y: { label: names[1], grid: true },
      marks: [Plot.line([[low, low], [high, high]], { stroke: "var(--muted)", strokeDasharray: "4 4" }), Plot.dot(items.filter((i) => i % step === 0), { x: (i) => own.answer[i], y: (i) => others.answer[i], r: 2.5, fill: "var(--accent)", fillOpacity: 0.5 })],
    });
  }

  function distance(questions, a, own, b, others) {
    const names = [a, b].map((row) => words.name(codonbench.label(row), 40));
    const items = d3.range(questions.right.length);
    const [low, high] = questions.kind === "scores" ? [0, 1] : [questions.low, questions.high];
    const scaled = questions.kind === "scores" ? d3.scaleLinear(d3.extent(questions.right), [0, 1]) : (x) => x;
    const gap = (i) => Math.abs(others.answer[i] - scaled(questions.right[i])) - Math.abs(own.answer[i] - scaled(questions.right[i]));
    const nearer = items.filter((i) => gap(i) > 0).length;
    return [
      element("p", {}, `${names[0]} is closer to the measured value for ${words.whole(nearer)} of ${words.whole(items.length)} (${words.percent(nearer / items.length)} %).`),
      dots(items, own, others, names, [low, high]),
      ...lists(questions, items, gap, names, (i) => [words.number(questions.right[i]), words.number(own.answer[i]), words.number(others.answer[i])], ["measured", ...names]),
    ];
  }

  // The items at which each of them is better than the other, or predicts more, by the largest margin.
  function lists(questions, items, gap, names, cells, head, does = "is better") {
    const facts = Object.entries(questions.facts);
    const place = (i) => (questions.item ? questions.item[i] : i);
    const line = (i) => [String(place(i)), ...(questions.column ? [questions.names[questions.column[i]]] : []), ...cells(i), ...facts.map(([, values]) => String(values[place(i)]))];
    const columns = ["test item", ...(questions.column ? ["of"] : []), ...head, ...facts.map(([name]) => name)];
    const sorted = d3.sort(items, (i) => -gap(i));
    return [[names[0], sorted.slice(0, 10).filter((i) => gap(i) > 0)], [names[1], sorted.slice(-10).reverse().filter((i) => gap(i) < 0)]].flatMap(([name, own]) => [
      element("h4", {}, `Where ${name} ${does}, largest differences first`),
      own.length ? element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Where ${name} ${does}` }, codonbench.grid(columns, own.map(line))) : note("No items."),
    ]);
  }
};
