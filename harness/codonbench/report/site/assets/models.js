// A model: every task it was run on, what it ran with, how to run it again, and another beside it.
"use strict";

codonbench.models = (model, other, board) => {
  const { address, choice, element, note, words } = codonbench;
  const section = document.getElementById("model");
  const [first] = model.rows;
  const pick = choice("Compare with", [["", "none"], ...board.models.filter(([id]) => id !== model.id)], other?.id ?? "");
  pick.select.addEventListener("change", () => { window.location.hash = address.to(pick.value() ? { model: model.id, other: pick.value() } : { model: model.id }); });
  section.replaceChildren(
    element("h2", { id: "model-title", tabindex: -1 }, element("bdi", {}, model.label)),
    facts(first), pick.label, other ? both() : tasks(), element("h3", {}, "How to repeat each row"), ...model.rows.map(made));

  function facts(row) {
    const { about } = row;
    const entries = [["About", about.summary], ["Authors", about.authors], ["Reference", about.reference], ["Licence", about.licence], ["Pretrained on", about.pretrained_on], ["Supplied by", row.supplier]].filter(([, text]) => text);
    return list(entries);
  }

  function list(entries) {
    return element("dl", { class: "facts" }, ...entries.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, element("bdi", {}, text)))));
  }

  function score(row) {
    const { figure } = row;
    if (!figure) return ["–"];
    const text = (x) => (x == null ? "never" : Number.isInteger(x) ? words.whole(x) : x.toFixed(row.digits));
    return [text(figure.value), figure.low !== figure.high && element("small", {}, `${text(figure.low)} to ${text(figure.high)}`)].filter(Boolean);
  }

  function gain(row) {
    if (!row.gain) return [""];
    const sign = (x) => `${x < 0 ? "−" : "+"}${Math.abs(x).toFixed(row.digits)}`;
    const [middle, low, high] = row.gain;
    return [element("span", { class: low > 0 || high < 0 ? "apart" : "muted" }, sign(middle)), element("small", {}, `${sign(low)} to ${sign(high)}`)];
  }

  function link(row) {
    return element("th", { scope: "row" }, element("a", { href: address.to({ table: row.table, row: row.row }) }, element("bdi", {}, row.title)), element("small", {}, [row.metric, row.category, row.verdict && `audit ${row.verdict}`].filter(Boolean).join(" · ")));
  }

  function table(head, rows, label) {
    return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, element("table", { class: "grid overview" },
      element("thead", {}, element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, ...rows)));
  }

  function tasks() {
    const gains = model.rows.some((row) => row.gain);
    const rows = model.rows.map((row) => element("tr", {}, link(row), element("td", {}, ...score(row)), gains && element("td", {}, ...gain(row)),
      element("td", {}, row.rank == null ? (row.role === "reference" ? "reference" : "–") : `${row.rank} of ${row.of}`), element("td", {}, row.tier ?? "–"), element("td", {}, row.seeds.length)));
    return table(["task", "score", ...(gains ? ["gain"] : []), "rank", "tier", "seeds"], rows, "Every task");
  }

  function both() {
    const there = new Map(other.rows.map((row) => [row.table, row]));
    const shared = model.rows.filter((row) => there.has(row.table));
    if (!shared.length) return note(`No task was run with both ${model.label} and ${other.label}.`);
    const rows = shared.map((row) => {
      const theirs = there.get(row.table);
      return element("tr", {}, link(row), element("td", {}, ...score(row)), element("td", {}, ...score(theirs)),
        element("td", {}, row.compared ? element("a", { href: address.to({ table: row.table, beside: `${row.row}.${theirs.row}` }) }, "item by item", element("span", { class: "hidden" }, `: ${row.title}`)) : "no test outputs"));
    });
    return table(["task", model.label, other.label, "where they disagree"], rows, "Both models");
  }

  function made(row) {
    const code = element("code", {}, row.command);
    const copied = element("span", { role: "status" });
    const copy = element("button", { type: "button", onclick: async () => {
      try {
        await navigator.clipboard.writeText(row.command);
        copied.textContent = "copied";
      } catch {
        window.getSelection().selectAllChildren(code); // for the reader to copy
        copied.textContent = "selected";
      }
    } }, "Copy", element("span", { class: "hidden" }, ` the command of ${row.title}`));
    return element("details", { class: "part" }, element("summary", {}, element("bdi", {}, row.title)),
      element("p", { class: "command" }, code, copy, copied),
      list([["Seeds", row.seeds.join(", ")], ["Version", row.version], ["Changed settings", row.changes], ["All settings", row.config], ["SHA-256 of its source", row.source], ["Supplied by", row.supplier], ...Object.entries(row.environment), ["Notes", row.notes.join("; ")]].filter(([, text]) => text)));
  }
};
