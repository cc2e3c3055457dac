"""`bench data`: what can be downloaded, what is here, whether it is sound."""

import pytest

from codonbench.data import download

NAME, FILE = "joiret2023", "humanORFs.txt"


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def test_ls_names_every_source_and_what_of_it_is_here(bench, cache):
    (cache / FILE).write_bytes(b"x" * 1_500_000)
    lines = bench("data", "ls").out.splitlines()[2:]
    rows = {line.split()[0]: line for line in lines if len(line.split()) > 2}
    assert "built in" in rows["usage"]
    assert "present, 1.5 MB" in rows[NAME]
    assert "absent" in rows["ensembl"]


@pytest.mark.parametrize("how", ["option", "environment"])
def test_offline_forbids_a_download_and_says_what_to_do(bench, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("CODONBENCH_OFFLINE", "1")
    answer = bench("data", "fetch", NAME, *(["--offline"] if how == "option" else []))
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert f"bench: '{NAME}' is not in the cache" in answer.err
    assert "network access is switched off" in answer.err


def test_offline_set_to_zero_means_online(bench, monkeypatch, cache):
    seen = []

    def fetch(source, cache, *, offline=False, progress=None, agreed=False, anew=False):
        seen.append(offline)
        return cache / source.name

    monkeypatch.setattr(download, "fetch", fetch)
    monkeypatch.setenv("CODONBENCH_OFFLINE", "0")
    assert bench("data", "fetch", NAME).code == 0
    assert seen == [False]


@pytest.mark.parametrize("terminal", [False, True])
def test_fetch_prints_where_the_file_is_and_a_bar_only_in_a_terminal(
    bench, monkeypatch, cache, terminal
):
    def fetch(source, cache, *, offline=False, progress=None, agreed=False, anew=False):
        progress(500_000, 1_000_000)
        progress(1_000_000, 1_000_000)
        return cache / source.name

    monkeypatch.setattr(download, "fetch", fetch)
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    answer = bench("data", "fetch", NAME)
    assert answer.code == 0
    assert answer.out == f"{NAME}: {cache / NAME}\n"
    assert ("1.0/1.0 MB" in answer.err) == terminal
    assert terminal or answer.err == ""


def test_verify_has_nothing_to_say_of_an_empty_cache(bench):
    answer = bench("data", "verify")
    assert (answer.code, answer.out) == (0, "nothing downloaded yet\n")


@pytest.mark.parametrize("words", [[], [NAME]], ids=["all", "by name"])
def test_verify_finds_a_damaged_file_and_ends_with_code_1(bench, cache, words):
    (cache / FILE).write_text("not what the authors published")
    answer = bench("data", "verify", *words)
    assert answer.code == 1
    assert "is damaged" in answer.out
    assert f"bench data fetch {NAME}" in answer.out


def test_verify_of_what_is_not_here_ends_with_code_1(bench):
    answer = bench("data", "verify", NAME)
    assert answer.code == 1
    assert "is not in the cache" in answer.out


def test_a_licence_is_shown_and_its_terms_are_asked_for(bench, monkeypatch, cache):
    """Without a terminal there is nobody to ask, so nothing is fetched but by --agree."""

    def send(source, part, progress):
        part.write_text("Sequence,Value,Dataset,Split\n")

    monkeypatch.setattr(download, "_download", send)
    answer = bench("data", "fetch", "tc-riboswitch")
    assert answer.code == 2
    assert "licence: Sanofi: academic, non-commercial use only" in answer.err
    assert "whether you agree" in answer.err
    assert "--agree" in answer.err
    assert not [*cache.iterdir()]
    assert bench("data", "fetch", "tc-riboswitch", "--agree").code == 0
    assert (cache / "tc-riboswitch" / "Tc-Riboswitches.csv").is_file()
    assert bench("data", "fetch", "tc-riboswitch").code == 0
