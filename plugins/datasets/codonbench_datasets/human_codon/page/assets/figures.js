// The figures of a row, and what the columns of its table mean.
"use strict";

codonbench.figures.codons = (() => {
  const { choice, element, note, unpack, words } = codonbench;
  const { curves, embedding: space, heatMap, table: codonTable } = codonbench.codons;

  const hints = {
    excess_pairs: "Pairs after the position at which every codon has been shown",
    pairs_consumed: "Pairs until all codons are right for the first time",
    sustained_pairs: "Pairs until all codons are right and stay so for 64,000 pairs",
    confident_pairs: "Pairs until p(true) of every codon is at least 0.9",
    rare_stop_ambiguity: "Stop codons with p(stop) below 0.9 at the end",
    decipher_epoch: "Epoch in which all codons are right for the first time",
  };

  const endings = {
    confident: "a run stops once all codons have stayed right and each has had p ≥ 0.9, at the latest",
  };

  function explain() {
    return element("p", {},
      "A model is trained on pairs of a codon and its amino acid, in the same order for all models. ",
      element("b", {}, "Pairs consumed"), " is the number of pairs shown when it was right about all codons for the first time; ",
      element("b", {}, "excess"), " is how many of these came after its stream had shown every codon once. Rows are ranked by it; 0 means that the model needed to see each codon only once. A run that never got there counts as longer than any other, so a median can be beyond the budget. ",
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
    const pickSeed = choice("Highlighted seed", seeds.map((s) => [s.seed, `seed ${s.seed}`]), front);
    const charts = element("div", { class: "charts" });
    const stops = element("div", { class: "charts" });
    const parts = [];
    const add = (title, caption, ...content) => parts.push(element("figure", {}, element("h3", {}, title), element("figcaption", {}, caption), ...content));

    add("Learning curves", `How much of the code each of ${seeds.length} runs knows by the number of pairs; the logarithmic axis begins before the first pair. Dashed vertical line: the median position at which every ${unit} has been shown; a model that learns only from pairs cannot be sure of the code earlier.`, pickSeed.label, charts);

    const map = heat && element("div", { class: "heat" });
    const mapView = map && heatMap.build(map, picture);
    if (map) add("Predicted code during training", `Each cell is the probability that the model gives a class for a ${unit}: brighter is more probable, and true classes are outlined. A learned code is a bright staircase. The slider moves through the training of seed ${heat.seed}, the median run${heat.probes > heat.pairs.length ? ` (${heat.pairs.length} of its ${words.whole(heat.probes)} evaluations)` : ""}. The second map shows the same run as the heat maps of Joiret et al. (2023) would: three times an epoch, only the ${unit}s in one batch of 64 are redrawn, and the colours saturate at p = 0.056.`, map);

    const which = choice("Shown", [["right_since", "right for good"], ["first_right", "right for the first time"]], "right_since");
    const whose = choice("Of", [["", `the median of ${seeds.length} seeds`], ...seeds.map((s) => [s.seed, `seed ${s.seed}`])], "");
    const codonBox = element("div", { class: "codon-box" });
    add(`When each ${unit} was learned`, `Number of pairs after which the model was right about a ${unit}, for good or for the first time; darker is earlier. A late ${unit} is rare or hard to tell from similar ones.`, element("div", { class: "choices" }, which.label, whose.label), codonBox);

    if (seeds[0].stops.length) add("Stop codons", `Probability of stop, given ${table.control ? "a codon that the run's own shuffled code makes stop" : "a stop codon; stop codons are the rarest and mostly the last to be learned"}. Dotted line: 0.9, from which a model counts as confident.`, stops);

    const plane = embedding && element("div", { class: "plane" });
    if (plane) add("Embedding", `Position of each ${unit} in the embedding of seed ${embedding.seed} at the end of training${embedding.dimensions > 2 ? `, its ${embedding.dimensions} dimensions projected onto the first two principal components` : ""}. Letters are classes; lines join synonyms to their centre. A ${unit} close to another is represented similarly.`, plane);

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
    return picture.seeds.length < all && note(`Trajectories of ${picture.seeds.length} of ${all} seeds are available; the others are not drawn.`);
  }

  return { hints, endings, explain, learned: curves.learned, unpack: unpackAll, draw };
})();
