// What a score costs: parameters, or seconds of training, against the primary metric.
"use strict";

codonbench.tradeOff = (table) => {
  const { element, choice, note, words } = codonbench;
  const metric = table.columns[0];
  const rows = table.rows.filter((row) => row.medians[metric?.metric]?.value != null);
  const box = element("div");
  const against = choice("Against", [["parameters", "parameters"], ["seconds", "seconds of training a run"]], "parameters");
  against.select.addEventListener("change", draw);
  if (rows.length) draw();
  else box.append(note("No row has a score."));
  return [against.label, box];

  function draw() {
    const cost = against.value();
    const marks = rows.filter((row) => row[cost] != null).map((row) => ({ ...row.medians[metric.metric], cost: Math.max(row[cost], cost === "seconds" ? 0.01 : 1), name: codonbench.label(row), role: row.role }));
    const sign = table.higher ? 1 : -1;
    let best = -Infinity; // the rows that no cheaper one reaches
    const front = d3.sort(marks, (d) => d.cost, (d) => -sign * d.value).filter((d) => sign * d.value > best && ((best = sign * d.value), true));
    const dots = { x: "cost", y: "value", title: (d) => `${d.name}: ${words.number(d.value)}, ${words.number(d.cost)} ${cost}` };
    box.replaceChildren(
      codonbench.plot({
        width: Math.min(760, document.getElementById("board").clientWidth - 44), height: 320, marginLeft: 70, ariaLabel: `${metric.title} against ${cost}`,
        x: { type: "log", label: cost, grid: true }, y: { label: metric.title, grid: true },
        marks: [
          Plot.line(front, { ...dots, title: null, stroke: "var(--strong)", curve: "step-after" }),
          Plot.ruleX(marks, { x: "cost", y1: "low", y2: "high", stroke: "var(--accent)", strokeOpacity: 0.45, strokeWidth: 3 }),
          Plot.dot(marks, { ...dots, r: 5, fill: (d) => (d.role === "reference" ? "var(--card)" : "var(--accent)"), stroke: "var(--accent)" }),
          Plot.text(front, { x: "cost", y: "value", text: (d) => words.cut(d.name, 26), dy: -10, fill: "currentColor" }),
        ],
      }),
      note(`The line joins the rows that no cheaper one reaches: ${front.map((d) => words.cut(d.name, 50)).join(", ")}. Hollow dots are reference rows.`));
  }
};
