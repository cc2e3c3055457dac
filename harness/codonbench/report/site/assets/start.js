// The board's file calls `codonbench.board`; the address says which row is open: #row=<id>.
"use strict";

codonbench.board = (board) => {
  const rows = new Map(board.tables.flatMap((table) => table.rows.map((row) => [row.id, { row, table }])));
  const leaderboard = codonbench.ranking(board);
  let opened = null; // the row that is open

  function follow() {
    const id = new URLSearchParams(window.location.hash.slice(1)).get("row");
    const found = rows.get(id);
    if (!found) return shut();
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
