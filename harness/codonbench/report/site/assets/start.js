// The board's file calls `codonbench.board`; the address says what is shown, so that any view can be
// linked: #table=<id>, #table=<id>&row=<id>, #table=<id>&beside=<row>.<row>, #model=<id>,
// #model=<id>&other=<id>, and filters by their names.
"use strict";

codonbench.address = (() => {
  const views = ["table", "row", "beside", "model", "other"];
  const ofTable = ["find", "on", "references", "columns", "sort"];
  const asked = () => new URLSearchParams(window.location.hash.slice(1));
  // The address of a view, the filters of the overview kept, and of a table while it stays: { table, row }.
  function to(view) {
    const changed = asked();
    for (const name of [...views, ...(view.table === changed.get("table") ? [] : ofTable)]) changed.delete(name);
    for (const [name, value] of Object.entries(view)) changed.set(name, value);
    return `#${changed}`;
  }
  function without(names) {
    const changed = asked();
    for (const name of names) changed.delete(name);
    return `#${changed}`;
  }
  function filter(name, value, here = false) {
    const changed = asked();
    if (value) changed.set(name, value);
    else changed.delete(name);
    if (here) window.history.replaceState(null, "", `#${changed}`);
    else window.location.hash = `#${changed}`;
  }
  return { asked, to, without, filter };
})();

codonbench.board = (board) => {
  const { address, choice, element, load, note } = codonbench;
  const find = (id) => document.getElementById(id);
  const overview = codonbench.overview(board);
  const task = codonbench.task(board);
  const several = board.overview.lines.filter((line) => !line.apart).length > 1; // tasks, not tables of one
  // Real sequences before simulated ones, no control before one; of these the longest.
  const first = d3.greatest(board.tables, (head) => (head.plain ? 1e6 : 0) + head.rows);
  const tables = choice("Task", [["", "Choose a task"], ...board.tables.map((head) => [head.id, head.title])]);
  const models = choice("Model", [["", "Choose a model"], ...board.models]);
  tables.select.id = "pick-table";
  models.select.id = "pick-model";
  tables.select.addEventListener("change", () => go(tables.value() ? { table: tables.value() } : {}));
  models.select.addEventListener("change", () => go(models.value() ? { model: models.value() } : {}));
  find("views").append(...[several && element("a", { href: "#", id: "to-overview" }, "Overview"), tables.label, models.label].filter(Boolean));
  excluded(board.excluded);
  find("skip").addEventListener("click", (event) => { event.preventDefault(); find("main").focus(); });
  let turn = 0; // of what is shown; a file that arrives late is of an earlier one
  let opened = null; // the row that is open

  function go(view) {
    window.location.hash = address.to(view);
  }

  async function follow() {
    const own = ++turn;
    const asked = address.asked();
    const view = Object.fromEntries(["table", "row", "beside", "model", "other"].map((name) => [name, asked.get(name)]));
    if (!view.model && !view.table && !several && first) view.table = first.id;
    tables.select.value = board.tables.some((head) => head.id === view.table) ? view.table : "";
    models.select.value = board.models.some(([id]) => id === view.model) ? view.model : "";
    find("overview").hidden = Boolean(view.table || view.model) || !several;
    find("board").hidden = !view.table && Boolean(view.model || several);
    find("by-item").hidden = find("board").hidden || !first;
    find("model").hidden = !view.model;
    if (!view.table || !view.row) shut();
    try {
      if (view.model) {
        const [model, other] = await Promise.all([load("model", view.model), view.other && load("model", view.other)]);
        if (own === turn) codonbench.models(model, other, board);
      } else if (view.table) {
        const table = await load("table", view.table);
        if (own !== turn) return;
        await task.show(table, view);
        const ids = [view.row, ...(view.beside ?? "").split(".")].filter(Boolean);
        if (table.n_rest && !ids.every((id) => table.rows.some((each) => each.id === id))) {
          await task.whole();
          await task.show(table, view);
        }
        if (own !== turn) return;
        const row = table.rows.find((each) => each.id === view.row);
        if (row && opened !== row.id) {
          opened = row.id;
          task.mark(row.id);
          codonbench.rows.open(row, table);
        } else if (!row) shut();
      } else if (several) overview.show(asked);
      else {
        find("count").textContent = "No results yet.";
        find("filters").hidden = true;
      }
    } catch (error) {
      if (own === turn) find("failed").replaceChildren(note(`This part of the page could not be loaded: ${error.message}.`));
      return;
    }
    if (own === turn) find("failed").replaceChildren();
  }

  // Whoever closes a row goes on from where it was opened.
  function shut() {
    codonbench.rows.close();
    task.mark(null);
    if (opened) document.querySelector(`#table tr[data-row="${opened}"] th a`)?.focus();
    opened = null;
  }

  function excluded(items) {
    if (!items.length) return;
    const box = find("excluded");
    box.hidden = false;
    box.querySelector("summary").textContent = `Not counted: ${codonbench.words.plural(items.length, "record")}`;
    const list = box.querySelector("ul");
    box.addEventListener("toggle", () => { // ten thousand of them cost nothing until somebody looks
      if (!list.children.length) list.append(...items.slice(0, 1000).map((e) => element("li", {}, element("bdi", {}, `${e.name}: ${e.reason}`))));
      if (items.length > 1000 && list.children.length === 1000) list.append(element("li", {}, `and ${items.length - 1000} more`));
    });
  }

  window.addEventListener("hashchange", follow);
  follow();
};
