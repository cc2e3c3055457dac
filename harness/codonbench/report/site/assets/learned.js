// How a table's rows learned, the median of each row's seeds. What a row is drawn from lies in a
// file of its own, so nothing is loaded before this is opened.
"use strict";

codonbench.learned = (() => {
  const { load, note, words } = codonbench;
  const { charted, colours, legend, numbers, symbols, wide } = codonbench.byItem;
  const MOST_POINTS = 200; // of a line
  const able = (row) => Boolean(codonbench.figures[row.figures]?.learned);
  const any = (table) => table.rows.some((row) => row.role !== "reference" && able(row));

  // The median over seeds, each read between two of its looks, and after its end as it was there.
  function middle({ seeds, log }) {
    const known = seeds.map((points) => points.filter((d) => d.value != null)).filter((points) => points.length > 1);
    const read = known.map((points) => d3.scaleLinear(points.map((d) => d.pairs), points.map((d) => d.value)).clamp(true));
    const looks = d3.sort(new Set(known.flatMap((points) => points.map((d) => d.pairs))));
    const place = (log ? d3.scaleLog() : d3.scaleLinear()).domain(d3.extent(looks)).rangeRound([0, MOST_POINTS]);
    const chosen = looks.filter((pairs, i) => i === looks.length - 1 || place(pairs) !== place(looks[i - 1]));
    return chosen.map((pairs) => ({ pairs, value: d3.median(read, (value) => value(pairs)) }));
  }

  function draw(box, table) {
    let turn = 0; // of what is asked for; what arrives late is of an earlier one
    charted(box, table, able, async (place, rows) => {
      const own = ++turn;
      if (!place.children.length) place.append(note("Loading…"));
      try {
        const found = await Promise.all(rows.map((row) => load("row", row.id).then(codonbench.figures[row.figures].unpack).then(codonbench.figures[row.figures].learned)));
        if (own === turn) place.replaceChildren(...chart(box, table, rows, found));
      } catch (error) {
        if (own === turn) place.replaceChildren(note(`The curves could not be loaded: ${error.message}.`));
      }
    });
  }

  function chart(box, table, rows, found) {
    const all = table.rows.length;
    const drawn = table.rows.filter(able).length;
    const about = note(`A line is the median over a row's seeds; a seed that has ended keeps its last value. The row's own page shows each seed.${drawn < all ? ` ${words.plural(drawn, "row")} of ${words.whole(all)} can be drawn; the others have no trajectory or were not trained.` : ""}`);
    if (!rows.length) return [about];
    const lines = found.map(middle);
    const points = lines.flatMap((line, i) => line.map((d) => ({ ...d, i, name: codonbench.label(rows[i]) })));
    const { title, log } = found[0];
    return [
      legend(rows),
      codonbench.plot({
        width: wide(box), height: 320, marginLeft: 50, ariaLabel: `${title} by training pairs, the median of each row's seeds`,
        x: { label: "training pairs", grid: true, tickFormat: words.short, ...(log && { type: "log", ticks: 4 }) }, y: { label: title, grid: true },
        marks: lines.flatMap((line, i) => [
          Plot.line(line, { x: "pairs", y: "value", stroke: colours[i], strokeWidth: 2 }),
          Plot.dot(line.slice(-1), { x: "pairs", y: "value", symbol: symbols[i], fill: colours[i], title: (d) => `${codonbench.label(rows[i])}: ${words.number(d.value)} after ${words.whole(d.pairs)} pairs` }),
        ]),
      }),
      about,
      numbers("Curves of rows", ["row", "training pairs", title], points.map((d) => [d.name, words.whole(d.pairs), words.number(d.value)])),
    ];
  }

  return { any, draw };
})();
