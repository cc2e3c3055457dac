"""Exit codes: one table in the code, the same one in the help."""

from codonbench import cli, errors


def test_the_help_prints_the_table_of_exit_codes(bench):
    answer = bench("--help")
    assert answer.code == 0
    flat = " ".join(answer.out.split())
    for code, meaning in cli.MEANINGS.items():
        assert f"{code} {meaning}" in flat


def test_every_exception_of_ours_ends_in_a_code_of_the_table():
    found = [e for e in vars(errors).values() if isinstance(e, type)]
    ours = [e for e in found if issubclass(e, errors.BenchError)]
    assert {e.__name__ for e in found} - {e.__name__ for e in ours} == {"CannotCapture"}
    assert {e.exit_code for e in ours} == {
        cli.FAILED,
        cli.UNUSABLE,
        cli.STALE,
    }
    assert set(cli.MEANINGS) == {0, 1, 2, 3, 130}
