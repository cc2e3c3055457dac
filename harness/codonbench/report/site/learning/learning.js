// A row's score on the validation items as it learns, every seed.
"use strict";

codonbench.figures.learning = (() => {
  const { element, note, words } = codonbench;

  function draw(body, content) {
    const place = element("div", { class: "by-item" });
    body.replaceChildren(element("figure", {}, element("h3", {}, "Learning curves"), place));
    again();
    return { draw: again, stop() {} };

    function again() {
      const points = content.seeds.flatMap((seed) => seed.pairs.map((pairs, i) => ({ seed: String(seed.seed), pairs, value: seed.values[i], chosen: pairs === seed.selected })).filter((d) => d.value != null));
      if (!points.length) return place.replaceChildren(note("No validation has a score."));
      const [low, high] = d3.extent(points, (d) => d.value);
      place.replaceChildren(
        codonbench.plot({
          width: Math.max(260, Math.min(760, place.clientWidth || 760)), height: 320, marginLeft: 50, ariaLabel: `${content.title} on the validation items by training pairs, every seed`,
          x: { label: "training pairs", grid: true, tickFormat: words.short }, y: { label: `${content.title} on validation`, grid: true, ...(low === high && { domain: [low - 0.1, high + 0.1] }) },
          marks: [
            Plot.line(points, { x: "pairs", y: "value", z: "seed", stroke: "var(--accent)", strokeOpacity: 0.55 }),
            Plot.dot(points.filter((d) => d.chosen), { x: "pairs", y: "value", r: 4.5, fill: "var(--strong)", title: (d) => `seed ${d.seed}: tested after ${words.whole(d.pairs)} pairs` }),
          ],
        }),
        note(`${words.plural(content.seeds.length, "seed")}. Dot: the state selected on validation, which was tested (${content.higher ? "higher" : "lower"} is better).`),
        element("details", { class: "numbers" }, element("summary", {}, "Learning curves in numbers"), element("div", { class: "scroll short", tabindex: 0, role: "region", "aria-label": "Learning curves in numbers" }, codonbench.grid(["seed", "pairs", content.title], points.map((d) => [d.seed, words.whole(d.pairs), words.number(d.value)])))));
      return undefined;
    }
  }

  const learned = (content) => ({ title: `${content.title} on validation`, seeds: content.seeds.map((seed) => seed.pairs.map((pairs, i) => ({ pairs, value: seed.values[i] }))) });

  return { draw, learned, unpack: (content) => Promise.resolve(content), hints: {}, endings: {}, explain: () => null };
})();
