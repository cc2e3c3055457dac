"""`bench curves`: runs on subsets, as tables and as a picture."""

import json
from pathlib import Path

TABLE = ("--data", "table.csv", "--seeds", "0", "--protocol", "sample_efficiency")


def test_each_table_of_curves_is_drawn(bench):
    rows = [
        f"{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]},{'ab'[i % 2]}" for i in range(64)
    ]
    Path("table.csv").write_text("\n".join(["sequence,label", *rows]))
    for sizes in ("[4,8]", "[4,12]"):
        words = (*TABLE, "--protocol-set", f"sizes={sizes}", "--results", "results")
        answer = bench("run", "--model", "majority", *words)
        assert answer.code == 0, answer.err
    answer = bench("curves", "--results", "results", "--plot", "curves.svg", "--json")
    assert answer.code == 0, answer.err
    made = [table["sizes"] for table in json.loads(answer.out)]
    assert sorted(made) == [[4, 8, 44], [4, 12, 44]]
    assert Path("curves.svg").read_text().count('<g id="axes_') == 2
