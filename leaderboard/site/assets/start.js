// The board's file calls `codonbench.board`; the address says which row is open: #row=<id>.
"use strict";

codonbench.board = (board) => {
  const rows = new Map(board.tables.flatMap((table) => table.rows.map((row) => [row.id, { row, table }])));
  const leaderboard = codonbench.leaderboard(board);

  function follow() {
    const id = new URLSearchParams(window.location.hash.slice(1)).get("row");
    const found = rows.get(id);
    if (!found) { codonbench.rows.close(); leaderboard.mark(null); return; }
    leaderboard.show(found.table);
    leaderboard.mark(id);
    codonbench.rows.open(found.row, found.table);
  }

  window.addEventListener("hashchange", follow);
  follow();
};
