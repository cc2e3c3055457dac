// A task: what it asks, what a score on it is worth, its rows, and where they are right and wrong.
"use strict";

codonbench.task = () => {
  const { address, element, note, words } = codonbench;
  const find = (id) => document.getElementById(id);
  const ranking = codonbench.ranking();
  let shown = null;
  return { show, mark: ranking.mark, whole: ranking.whole };

  async function show(table, view) {
    const listed = ranking.show(table);
    if (table !== shown) {
      shown = table;
      find("board-title").replaceChildren(element("bdi", {}, table.about.title || table.task));
      find("about-task").replaceChildren(...about(table));
      find("task-figures").replaceChildren(...figures(table));
      if (!view.row) window.scrollTo(0, 0);
    }
    codonbench.beside(table, view.beside);
    await listed;
  }

  function about(table) {
    const { about: own } = table;
    const [train, validation, test] = own.sizes;
    const split = own.sizes.length && `${words.whole(train)} training, ${words.whole(validation)} validation, ${words.whole(test)} test`;
    const entries = [
      ["Task", [table.task, own.category].filter(Boolean).join(" · ")], ["Input", own.input.replaceAll("`", "")], ["Target", own.target],
      ["Items", split && own.folded ? `${words.whole(d3.sum(own.sizes))}, each tested once, by a module trained without its fold; the data audit used a split: ${split}` : split],
      ["Protocol", own.protocol], ["Data", [table.data, table.options, table.control && `control: ${table.control}`].filter(Boolean).join(" · ")],
      ["Row zero", table.floor ? `${table.floor}, the best reference row or rule` : table.no_gain],
      ["Ceiling", table.ceiling && `${words.number(table.ceiling.value)} [${words.number(table.ceiling.low)} to ${words.number(table.ceiling.high)}], the best possible score`],
      ["Best rule of the data audit", own.best_rule && `${own.best_rule.check}: ${own.best_rule.score} ${words.number(own.best_rule.value)} on the test items`],
      ["Source", own.reference], ["Licence", own.licence],
    ].filter(([, text]) => text);
    const facts = element("dl", { class: "facts" }, ...entries.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, element("bdi", {}, text)))));
    return [facts, ...own.notes.map((text) => note(text)), audit(own), examples(table), published(table)].filter(Boolean);
  }

  function audit(own) {
    if (!own.audit) return element("p", {}, element("b", {}, "Data audit: "), "none, since training and test items are not separate or were not audited.");
    const [verdict] = own.audit.split(":");
    const list = codonbench.grid(["check", "grade", "finding"], own.findings);
    list.classList.add("words");
    return element("details", { class: "explain" }, element("summary", {}, "Data audit: ", element("b", {}, verdict), own.audit.slice(verdict.length)), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Findings of the data audit" }, list));
  }

  function examples(table) {
    const { about: own } = table;
    const title = element("summary", {}, own.examples.length ? `${words.whole(own.examples.length)} examples` : "No examples");
    if (!own.examples.length) return element("details", { class: "explain" }, title, note(`Not shown: ${own.withheld || "the data have no fixed items"}.${own.withheld ? ` If you have the data, see them with: bench data describe ${table.task} --examples` : ""}`));
    const body = own.examples.map((each) => [each.answer, element("span", {}, ...each.parts.flatMap((part, i) => [i > 0 && element("br"), element("code", { class: "letters" }, part.length < each.lengths[i] && !part.includes(",") ? `${part}… (${words.whole(each.lengths[i])} letters)` : part.includes(",") ? `${part}, … (${words.whole(each.lengths[i])} values)` : part)]).filter(Boolean))]);
    const grid = codonbench.grid(["target", "training item"], body);
    grid.classList.add("words");
    return element("details", { class: "explain" }, title, element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Examples" }, grid));
  }

  function published(table) {
    if (!table.published.length) return null;
    const title = (metric) => table.columns.find((column) => column.metric === metric)?.title ?? metric;
    const parts = table.published.flatMap(({ source, figures: own }) => {
      const grid = codonbench.grid(["model", "metric", "value"], own.map((each) => [each.model, title(each.metric), words.number(each.value)]));
      return [note(`${source.source}, ${source.place}. Split: ${source.split}. ${source.comparable}`), element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Published figures" }, grid)];
    });
    return element("details", { class: "explain" }, element("summary", {}, "Published figures"), ...parts);
  }

  // What stands below the table: each part is drawn when it is opened.
  function figures(table) {
    const some = (field) => table.rows.some((row) => row.items?.[field] && Object.keys(row.items[field]).length);
    const parts = [
      ["Score against cost", table.rows.length > 2 && ((box) => box.append(...codonbench.tradeOff(table)))],
      ["Learning curves", codonbench.learned.any(table) && ((box) => codonbench.learned.draw(box, table))],
      ["Score by training examples", table.curves.length > 0 && ((box) => codonbench.byItem.curves(box, table))],
      ["Calibration", some("reliability") && ((box) => codonbench.byItem.reliability(box, table))],
      ["Confusion matrix", some("confusion") && ((box) => codonbench.byItem.confusion(box, table))],
      ["Predicted against measured", table.compared && !table.withheld && ["quantities", "scores"].includes(table.kind) && ((box) => codonbench.byItem.scatter(box, table))],
      ["Predicted against measured", table.withheld && some("predicted") && ((box) => codonbench.byItem.binned(box, table))],
      ["Score by item property", some("parts") && ((box) => codonbench.byItem.parts(box, table))],
    ].filter(([, draw]) => draw);
    const made = parts.map(([title, draw]) => {
      const box = element("div", { class: "by-item" });
      const details = element("details", { class: "part" }, element("summary", {}, element("h3", {}, title)), box);
      details.addEventListener("toggle", () => { if (details.open && !box.children.length) draw(box); });
      return details;
    });
    if (!codonbench.learned.any(table)) made.push(note(`No learning curves: ${table.about.folded ? words.folded : "no trajectory of a trained row is available"}.`));
    if (!some("parts")) made.push(...codonbench.byItem.untold(table));
    if (table.withheld) made.push(note(`The targets of the test items may not be published${table.about.licence ? ` (${table.about.licence})` : ""}.${some("parts") || some("predicted") ? " Figures by item property were computed where the data are available, each over 20 test items or more." : ""} Two rows can be compared item by item below.`));
    return made;
  }
};
