// The figures of a row, and what the columns of its table mean.
"use strict";

codonbench.figures.codons = (() => {
  const { choice, element, note, unpack, words } = codonbench;
  const { curves, embedding: space, heatMap, table: codonTable } = codonbench.codons;

  const hints = {
    excess_pairs: "Pairs beyond the point at which every codon has been seen",
    pairs_consumed: "Pairs until all are right for the first time",
    sustained_pairs: "Pairs until all are right, and stay so for 64,000 pairs",
    confident_pairs: "Pairs until every p(true) is at least 0.9",
    rare_stop_ambiguity: "Stop codons with p(stop) below 0.9 at the end",
    decipher_epoch: "Epoch in which all are right for the first time",
  };

  const endings = {
    confident: "a run stops once its deciphering has lasted and every codon has had p ≥ 0.9, at the latest",
  };

  function explain() {
    return element("p", {},
      "A model is shown codons and their amino acids, one pair after another, all models in the same order. ",
      element("b", {}, "Pairs consumed"), " is how many pairs had been shown when it was right about all of them for the first time; ",
      element("b", {}, "excess"), " is how many of these came after its stream had shown every codon once, and ranks the rows: 0 means that it needed to see each codon only once. A run that never got there counts as longer than any other, so a median can lie beyond the budget. ",
      element("b", {}, "Success"), " is the share of runs that stayed right, with its Wilson interval.");
  }

  async function unpackAll(picture) {
    const seeds = await Promise.all(picture.seeds.map(async (seed) => ({ ...seed, ...(await fields(seed, ["pairs", "right", "stops_right", "lowest", "p_stop", "first_right", "right_since"])) })));
    const heat = picture.heat_map && { ...picture.heat_map, ...(await fields(picture.heat_map, ["pairs", "p", "right", "redrawn"])) };
    return { ...picture, seeds, heat_map: heat };
  }

  async function fields(from, names) {
    const arrays = await Promise.all(names.map((name) => unpack(from[name])));
    return Object.fromEntries(names.map((name, i) => [name, arrays[i]]));
  }

  function draw(body, picture, table) {
    const { seeds, axes, heat_map: heat, embedding } = picture;
    const front = heat && seeds.some((s) => s.seed === heat.seed) ? heat.seed : seeds[0].seed;
    const unit = axes.unit;
    const pickSeed = choice("Seed in front", seeds.map((s) => [s.seed, `seed ${s.seed}`]), front);
    const charts = element("div", { class: "charts" });
    const stops = element("div", { class: "charts" });
    const parts = [];
    const add = (title, caption, ...content) => parts.push(element("figure", {}, element("h3", {}, title), element("figcaption", {}, caption), ...content));

    add("Learning curves", `How much of the code each run knows after so many pairs: all ${seeds.length} seeds, the log axis beginning before the first pair. The dashed upright line is the median point at which a stream has shown every ${unit}: nobody who learns from pairs alone can be sure earlier.`, pickSeed.label, charts);

    const map = heat && element("div", { class: "heat" });
    const mapView = map && heatMap.build(map, picture);
    if (map) add("The code as it forms", `Each cell is the probability that the model gives a class for a ${unit}, brighter for surer, outlined where the class is the true one: a code that is known is a bright staircase. Move the slider through the training of seed ${heat.seed}, the median run${heat.probes > heat.pairs.length ? ` (${heat.pairs.length} of its ${words.whole(heat.probes)} probes)` : ""}. The second map shows the same run through the instrument of Joiret et al. (2023), which redraws only the ${unit}s in one batch of 64, three times an epoch, and whose colours are full at p = 0.056.`, map);

    const which = choice("Shown", [["right_since", "right for good"], ["first_right", "right for the first time"]], "right_since");
    const whose = choice("Of", [["", `the median of ${seeds.length} seeds`], ...seeds.map((s) => [s.seed, `seed ${s.seed}`])], "");
    const codonBox = element("div", { class: "codon-box" });
    add(`When each ${unit} was known`, `Pairs after which the model was right about a ${unit} — for good or for the first time; darker is earlier. What is late is rare, or hard to tell from its neighbours.`, element("div", { class: "choices" }, which.label, whose.label), codonBox);

    if (seeds[0].stops.length) add("Stop codons", `The probability of stop, given ${table.control ? "a codon that the run's own shuffled code makes stop" : "a stop codon: they are the rarest codons and mostly the last to be learned"}. The dotted line is 0.9, from which a model counts as sure.`, stops);

    const plane = embedding && element("div", { class: "plane" });
    if (plane) add("The embedding", `Where seed ${embedding.seed} put each ${unit} at its end${embedding.dimensions > 2 ? `, its ${embedding.dimensions} dimensions projected onto the two that vary most` : ""}: the letter is the class, and lines tie synonyms to their centre. What lies together is read alike.`, plane);

    const missing = drawnOf(picture, table);
    body.replaceChildren(...(missing ? [missing] : []), ...parts);

    const codons = () => codonBox.replaceChildren(codonTable.build(picture, table, which.value(), whose.value() === "" ? null : +whose.value()));
    const lines = () => { curves.draw(charts, picture, table, +pickSeed.value()); if (stops.isConnected) curves.drawStops(stops, picture, table, +pickSeed.value()); };
    const all = () => { lines(); mapView?.draw(); if (plane) space.draw(plane, picture); };
    pickSeed.select.addEventListener("change", lines);
    which.select.addEventListener("change", codons);
    whose.select.addEventListener("change", codons);
    codons();
    all();
    return { draw: all, stop: () => mapView?.stop() };
  }

  function drawnOf(picture, table) {
    const all = table.rows.find((row) => row.id === picture.row).seeds.length;
    return picture.seeds.length < all && note(`Traces of ${picture.seeds.length} of ${all} seeds were at hand; the others are not drawn.`);
  }

  return { hints, endings, explain, learned: curves.learned, unpack: unpackAll, draw };
})();
