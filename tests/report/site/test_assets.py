"""What the page is made of: all there, unchanged, and nothing that its policy would forbid."""

import hashlib
import json
import re
from importlib.resources import files

from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import Board
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.files import all_figures, wanted_files

FIGURES = all_figures(load_registry())
WANTED = wanted_files(Board(tables=(), excluded=()), {}, (), FIGURES, PageSources())
VENDOR = files("codonbench.report.site") / "assets" / "vendor"
OWN = {
    str(path): content.decode()
    for path, content in WANTED.items()
    if path.parts[0] in ("assets", "index.html") and "vendor" not in path.parts
}


def test_what_is_vendored_is_what_its_package_holds():
    listed = json.loads((VENDOR / "VENDORED.json").read_text())
    assert {entry["file"] for entry in listed} == {
        item.name for item in VENDOR.iterdir() if item.name.endswith(".js")
    }
    licences = (VENDOR / "LICENSES.txt").read_text()
    for entry in listed:
        content = (VENDOR / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        assert entry["version"].encode() in content[:200]
        assert f"{entry['package']} {entry['version']}" in licences


def test_the_page_names_every_script_and_they_are_there():
    named = re.findall(r'<script[^>]* src="([^"]+)"></script>', OWN["index.html"])
    assert len(named) == len(set(named))
    assert set(named) == {str(path) for path in WANTED if path.suffix == ".js"}
    assert named[-1] == "data/board.js"  # it calls what the others define


def test_data_never_becomes_markup_or_code():
    for name, text in OWN.items():
        for forbidden in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ):
            assert forbidden not in text, f"{name} uses {forbidden}"


def test_nothing_is_asked_of_anybody_else():
    for name, text in OWN.items():
        assert not re.search(r"https?://|@import|url\((?!#)", text), name
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', OWN["index.html"])[1]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' file:"
