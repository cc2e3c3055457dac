// The board's file calls `codonbench.board`; the address says what is shown, so that any view can be
// linked: #row=<id>, #table=<key>, and the filters of the overview by their names.
"use strict";

codonbench.board = (board) => {
  const rows = new Map(board.tables.flatMap((table) => table.rows.map((row) => [row.id, { row, table }])));
  const asked = () => new URLSearchParams(window.location.hash.slice(1));
  const address = {
    with(name, value) {
      const changed = asked();
      for (const other of ["row", "table"]) if (other === name || ["row", "table"].includes(name)) changed.delete(other);
      if (value) changed.set(name, value);
      else changed.delete(name);
      return `#${changed}`;
    },
    set(name, value) {
      window.location.hash = address.with(name, value);
    },
  };
  const overview = codonbench.overview(board, address);
  const leaderboard = codonbench.ranking(board, address);
  let opened = null; // the row that is open

  function follow() {
    overview.show(asked());
    const chosen = board.tables.find((table) => table.key === asked().get("table"));
    if (chosen) leaderboard.show(chosen);
    const id = asked().get("row");
    const found = rows.get(id);
    if (!found) {
      shut();
      if (chosen) document.getElementById("board").scrollIntoView();
      return;
    }
    if (opened === id) return;
    opened = id;
    leaderboard.show(found.table);
    leaderboard.mark(id);
    codonbench.rows.open(found.row, found.table);
  }

  // Whoever closes a row goes on from where it was opened.
  function shut() {
    codonbench.rows.close();
    leaderboard.mark(null);
    if (opened) document.querySelector(`#table a[href="#row=${opened}"]`)?.focus();
    opened = null;
  }

  window.addEventListener("hashchange", follow);
  follow();
};
