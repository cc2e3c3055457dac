// Charts of a task's rows by item: how sure they are, what they take for what, where they are right.
"use strict";

codonbench.byItem = (() => {
  const { choice, element, load, note, unpack, words } = codonbench;
  const MOST = 6; // rows in one chart
  // Okabe and Ito's; each row has a symbol of its own, too.
  const colours = ["var(--ink)", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a07400"];
  const symbols = ["circle", "square", "triangle", "diamond", "star", "cross"];
  const wide = (box, most = 720) => Math.max(260, Math.min(most, box.clientWidth || 720));

  // The rows that a chart begins with: the first four and the first two reference rows; by ticks
  // others take their place.
  function rowsOf(box, table, has, draw) {
    const able = table.rows.filter(has);
    const contestants = able.filter((row) => row.role !== "reference");
    const references = able.filter((row) => row.role === "reference");
    const chosen = new Set([...contestants.slice(0, 4), ...references].slice(0, MOST));
    const ticks = able.slice(0, 60).map((row) => {
      const tick = element("input", { type: "checkbox", checked: chosen.has(row) });
      tick.addEventListener("change", () => {
        if (tick.checked) chosen.add(row);
        else chosen.delete(row);
        if (chosen.size > MOST) { const [oldest] = chosen; chosen.delete(oldest); ticks[able.indexOf(oldest)].querySelector("input").checked = false; }
        draw(able.filter((each) => chosen.has(each)));
      });
      return element("label", { class: "tick" }, tick, " ", element("bdi", {}, words.name(codonbench.label(row), 50)));
    });
    if (able.length > 1) box.append(element("fieldset", { class: "ticks" }, element("legend", {}, `Rows, at most ${MOST}`), ...ticks));
    return able.filter((row) => chosen.has(row));
  }

  function legend(rows) {
    const shapes = { circle: d3.symbolCircle, square: d3.symbolSquare, triangle: d3.symbolTriangle, diamond: d3.symbolDiamond, star: d3.symbolStar, cross: d3.symbolCross };
    return element("p", { class: "legend" }, ...rows.map((row, i) => {
      const svg = d3.create("svg").attr("width", 14).attr("height", 14).attr("viewBox", "-7 -7 14 14").attr("aria-hidden", "true");
      svg.append("path").attr("d", d3.symbol(shapes[symbols[i]], 60)()).attr("fill", colours[i]);
      return element("span", {}, svg.node(), element("bdi", {}, words.name(codonbench.label(row), 50)));
    }));
  }

  function numbers(title, head, rows) {
    return element("details", { class: "numbers" }, element("summary", {}, `${title} in numbers`), element("div", { class: "scroll short", tabindex: 0, role: "region", "aria-label": `${title} in numbers` }, codonbench.grid(head, rows)));
  }

  function charted(box, table, has, draw) {
    const place = element("div");
    const rows = rowsOf(box, table, has, (some) => draw(place, some));
    box.append(place);
    draw(place, rows);
  }

  function reliability(box, table) {
    charted(box, table, (row) => row.items?.reliability.length, (place, rows) => {
      const points = rows.flatMap((row, i) => row.items.reliability.map(([n, sure, right]) => ({ i, n, sure, right, name: codonbench.label(row) })));
      const least = Math.floor(10 * d3.min(points, (d) => Math.min(d.sure, d.right)) || 0) / 10;
      const error = (row) => d3.sum(row.items.reliability, ([n, sure, right]) => n * Math.abs(sure - right)) / d3.sum(row.items.reliability, ([n]) => n);
      place.replaceChildren(legend(rows), codonbench.plot({
        width: wide(box, 520), height: 400, ariaLabel: "Share of correct predictions by predicted probability", marginLeft: 50,
        x: { label: "predicted probability", domain: [least, 1], grid: true }, y: { label: "share correct", domain: [least, 1], grid: true }, r: { range: [2, 9] },
        marks: [
          Plot.line([[least, least], [1, 1]], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
          ...rows.map((row, i) => Plot.line(points.filter((d) => d.i === i), { x: "sure", y: "right", stroke: colours[i] })),
          ...rows.map((row, i) => Plot.dot(points.filter((d) => d.i === i), { x: "sure", y: "right", r: "n", symbol: symbols[i], fill: colours[i], title: (d) => `${d.name}: ${words.number(d.n)} predictions of ${words.percent(d.sure)} %, ${words.percent(d.right)} % correct` })),
        ],
      }), note(`Below the dashed line a row is overconfident. Larger marks stand for more predictions. Mean distance from the line (ECE): ${rows.map((row) => `${words.name(codonbench.label(row), 50)} ${error(row).toFixed(3)}`).join(", ")}.`),
      numbers("Calibration", ["row", "predictions per seed", "predicted probability", "share correct"], points.map((d) => [d.name, words.number(d.n), d.sure.toFixed(3), d.right.toFixed(3)])));
    });
  }

  function confusion(box, table) {
    const able = table.rows.filter((row) => row.items?.confusion.length);
    const pick = choice("Row", able.map((row, i) => [i, codonbench.label(row)]), 0);
    const place = element("div");
    pick.select.addEventListener("change", draw);
    box.append(pick.label, place);
    draw();
    function draw() {
      const found = able[pick.value()].items.confusion;
      const head = element("tr", {}, element("th", { scope: "col" }, "true \\ predicted"), ...table.names.map((name) => element("th", { scope: "col" }, name)));
      const lines = found.map((line, i) => {
        const all = d3.sum(line) || 1;
        return element("tr", {}, element("th", { scope: "row" }, table.names[i]), ...line.map((n, j) => element("td", { class: i === j ? "apart" : "", style: `background: color-mix(in srgb, var(--accent) ${Math.round(45 * n / all)}%, transparent)` }, words.number(n), element("small", {}, `${words.percent(n / all)} %`))));
      });
      place.replaceChildren(element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusion matrix" }, element("table", { class: "grid" }, element("thead", {}, head), element("tbody", {}, ...lines))), note("Test items per seed, and their share of the row."));
    }
  }

  const heads = { length: "length", GC: "share of G and C", likeness: "similarity to training" };

  // Why there is no score by some facts, a sentence for each reason.
  function untold(table) {
    const facts = Object.keys(heads).filter((fact) => table.untold[fact]);
    return d3.groups(facts, (fact) => table.untold[fact]).map(([why, own]) => note(`No score by ${own.map((fact) => heads[fact]).join(", ")}: ${why}.`));
  }

  function parts(box, table) {
    const facts = { length: "letters", GC: "% G or C", likeness: "% of its k-mers in the most similar training item" };
    charted(box, table, (row) => row.items && Object.keys(row.items.parts).length, (place, rows) => {
      const title = table.columns[0]?.title ?? "score";
      const charts = Object.entries(table.parts).flatMap(([fact, own]) => {
        const names = own.map((part) => (part.low === part.high ? `${part.low}` : `${part.low}–${part.high}`));
        const points = rows.flatMap((row, i) => (row.items.parts[fact] ?? []).flatMap((score, j) => (score ? [{ i, j, part: names[j], value: score[0], low: score[1], high: score[2], name: codonbench.label(row) }] : [])));
        const shift = (i) => (i - (rows.length - 1) / 2) * 7;
        return [element("h4", {}, `By ${heads[fact] ?? fact}`), codonbench.plot({
          width: wide(box), height: 300, marginLeft: 50, marginBottom: 44, ariaLabel: `${title} by ${fact}`,
          x: { type: "point", domain: names, label: facts[fact] ?? fact, padding: 0.5 }, y: { label: title, grid: true },
          marks: rows.flatMap((row, i) => {
            const mine = points.filter((d) => d.i === i);
            return [
              Plot.ruleX(mine, { x: "part", y1: "low", y2: "high", stroke: colours[i], strokeOpacity: 0.5, strokeWidth: 2, dx: shift(i) }),
              Plot.line(mine, { x: "part", y: "value", stroke: colours[i], strokeOpacity: 0.5, dx: shift(i) }),
              Plot.dot(mine, { x: "part", y: "value", symbol: symbols[i], fill: colours[i], dx: shift(i), title: (d) => `${d.name}, ${d.part}: ${words.number(d.value)} [${words.number(d.low)} to ${words.number(d.high)}]` }),
            ];
          }),
        }), numbers(`By ${fact}`, ["row", ...names.map((name, j) => `${name} (${words.whole(own[j].items)})`)], rows.map((row) => [codonbench.label(row), ...(row.items.parts[fact] ?? []).map((score) => (score ? `${words.number(score[0])} [${words.number(score[1])} to ${words.number(score[2])}]` : "–"))]))];
      });
      place.replaceChildren(legend(rows), ...charts, note("Lines: 95 % intervals over seeds and items. A row that scores well only on items similar to training items has memorised them."), ...untold(table));
    });
  }

  function curves(box, table) {
    for (const own of table.curves) {
      const rows = own.rows.slice(0, MOST);
      const points = rows.flatMap((row, i) => row.points.flatMap((point, j) => (point ? [{ i, size: own.sizes[j], ...point, name: row.label }] : [])));
      box.append(
        element("p", { class: "legend" }, ...rows.map((row, i) => element("span", { style: `border-bottom: 3px solid ${colours[i]}` }, element("bdi", {}, row.label)))),
        codonbench.plot({
          width: wide(box), height: 320, marginLeft: 50, ariaLabel: `${own.title} by training examples`,
          x: { type: "log", label: `training examples${own.per_class ? " of each class" : ""}`, grid: true }, y: { label: own.title, grid: true },
          marks: rows.flatMap((row, i) => {
            const mine = points.filter((d) => d.i === i);
            return [
              Plot.areaY(mine, { x: "size", y1: "low", y2: "high", fill: colours[i], fillOpacity: 0.12 }),
              Plot.line(mine, { x: "size", y: "value", stroke: colours[i] }),
              Plot.dot(mine, { x: "size", y: "value", symbol: symbols[i], fill: colours[i], title: (d) => `${d.name}, ${words.whole(d.size)}: ${words.number(d.value)}` }),
            ];
          }),
        }),
        note(`Bands: 95 % intervals over seeds.${own.row_zero ? ` Row zero is ${own.row_zero} with all examples.` : ""}`),
        numbers("Score by training examples", ["row", ...own.sizes.map(words.whole), "to row zero"], own.rows.map((row) => [row.label, ...row.points.map((point) => (point ? words.number(point.value) : "–")), row.to_row_zero ? words.censored(row.to_row_zero.value) : "–"])));
    }
  }

  // What is right for every question, and a row's answers: numbers as they were measured.
  async function questions(table) {
    const asked = await load("questions", table.id);
    const scaled = (values, own) => Float64Array.from(values, (x) => own.low + (x / 65535) * (own.high - own.low));
    const raw = asked.right && await unpack(asked.right);
    const facts = Object.fromEntries(await Promise.all(Object.entries(asked.facts).map(async ([name, packed]) => [name, await unpack(packed)])));
    return { ...asked, facts, right: !raw || asked.kind === "classes" || asked.kind === "labels" || asked.high === 0 && asked.low === 0 ? raw : scaled(raw, asked), item: asked.item && await unpack(asked.item), column: asked.column && await unpack(asked.column), scaled };
  }

  async function answersOf(row, asked) {
    if (row.withheld) throw new Error(`the outputs of ${codonbench.label(row)} are training targets, which may not be published`);
    const own = await load("answers", row.id);
    if (own.items !== asked.items) throw new Error(`${codonbench.label(row)} was tested on other items`);
    const raw = await unpack(own.answer);
    return { ...own, answer: own.sure ? raw : asked.scaled(raw, own), sure: own.sure && await unpack(own.sure) };
  }

  function scatter(box, table) {
    const pick = choice("Row", table.rows.map((row, i) => [i, codonbench.label(row)]), 0);
    const place = element("div");
    pick.select.addEventListener("change", draw);
    box.append(pick.label, place);
    draw();
    async function draw() {
      try {
        const asked = await questions(table);
        const own = await answersOf(table.rows[pick.value()], asked);
        const step = Math.max(1, Math.ceil(asked.right.length / 1500));
        const points = d3.range(0, asked.right.length, step).map((i) => ({ right: asked.right[i], said: own.answer[i] }));
        const [x, y] = [asked.kind === "scores" && asked.names.length === 1 && asked.high === 0 ? "label" : "measured", asked.kind === "scores" ? "rank of its score, from 0 to 1" : "predicted"];
        place.replaceChildren(codonbench.plot({
          width: wide(box, 520), height: 400, marginLeft: 50, ariaLabel: `${y} against ${x}`, x: { label: x, grid: true }, y: { label: y, grid: true },
          marks: [Plot.line(asked.kind === "quantities" ? [[asked.low, asked.low], [asked.high, asked.high]] : [], { stroke: "var(--muted)", strokeDasharray: "4 4" }), Plot.dot(points, { x: "right", y: "said", r: 2, fill: "var(--accent)", fillOpacity: 0.45 })],
        }), note(`${words.plural(points.length, "test item")}${step > 1 ? `, every ${step}th` : ""}; predictions are means over ${words.plural(own.seeds.length, "seed")}.`));
      } catch (error) {
        place.replaceChildren(note(`No test outputs of this row: ${error.message}.`));
      }
    }
  }

  // Where what was measured for an item may not be published: its mean over items predicted alike.
  function binned(box, table) {
    charted(box, table, (row) => row.items?.predicted?.length, (place, rows) => {
      const points = rows.flatMap((row, i) => row.items.predicted.map(([n, said, right, spread]) => ({ i, n, said, right, low: right - spread, high: right + spread, name: codonbench.label(row) })));
      const ends = d3.extent(points.flatMap((d) => [d.said, d.right]));
      place.replaceChildren(legend(rows), codonbench.plot({
        width: wide(box, 520), height: 400, marginLeft: 50, ariaLabel: "Mean measured value by predicted value",
        x: { label: "predicted", grid: true }, y: { label: "mean measured value", grid: true },
        marks: [
          Plot.line([[ends[0], ends[0]], [ends[1], ends[1]]], { stroke: "var(--muted)", strokeDasharray: "4 4" }),
          ...rows.flatMap((row, i) => {
            const mine = points.filter((d) => d.i === i);
            return [
              Plot.ruleX(mine, { x: "said", y1: "low", y2: "high", stroke: colours[i], strokeOpacity: 0.4, strokeWidth: 2 }),
              Plot.line(mine, { x: "said", y: "right", stroke: colours[i], strokeOpacity: 0.5 }),
              Plot.dot(mine, { x: "said", y: "right", symbol: symbols[i], fill: colours[i], title: (d) => `${d.name}: ${words.plural(d.n, "test item")} predicted about ${words.number(d.said)}, mean measured value ${words.number(d.right)}` }),
            ];
          }),
        ],
      }), note("Values measured for single items may not be published: each mark is the mean of 20 or more test items with similar predictions. Lines: standard deviations of the measured values."),
      numbers("Predicted and measured", ["row", "items", "predicted", "mean measured value", "standard deviation"], points.map((d) => [d.name, words.whole(d.n), words.number(d.said), words.number(d.right), words.number(d.high - d.right)])));
    });
  }

  return { answersOf, binned, charted, colours, confusion, curves, legend, numbers, parts, questions, reliability, scatter, symbols, untold, wide };
})();
