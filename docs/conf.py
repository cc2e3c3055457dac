"""The documentation as a site: `make docs` builds it, and fails where a link leads nowhere.

Sphinx with MyST reads these pages as they are, checks every link and anchor, and is maintained;
Material for MkDocs, which would do the same, ends in May 2027.
"""

import re
from pathlib import Path

project = "codonbench"
author = "The codonbench developers"
extensions = ["myst_parser"]
html_theme = "furo"
html_title = "codonbench"
html_copy_source = html_show_sourcelink = False
myst_heading_anchors = 4

DOCS = Path(__file__).resolve().parent
LINK = re.compile(r"(?<!!)\[((?:[^\]\\]|\\.)*)\]\(([^)\s#:]+)(?:#[^)\s]*)?\)")


def _without_links_out(text: str, folder: Path) -> str:
    """Return a page whose links to files that are no page of the site are words and a path."""

    def spelled(found: re.Match[str]) -> str:
        words, path = found[1], (folder / found[2]).resolve()
        if path.is_relative_to(DOCS) or not path.exists():
            return found[0]  # a page, or a mistake that Sphinx reports
        where = str(path.relative_to(DOCS.parent))
        return f"`{where}`" if words.strip("`") in where else f"{words} (`{where}`)"

    return LINK.sub(spelled, text)


def setup(app):
    """Take links out of pages, and put the README on the first."""

    def read(app, name, source):
        if name == "index":
            readme = (DOCS.parent / "README.md").read_text().partition("\n")[2]
            readme = _without_links_out(readme, DOCS.parent).replace("](docs/", "](")
            source[0] = source[0].replace("<!-- README -->", readme)
        source[0] = _without_links_out(source[0], DOCS)

    app.connect("source-read", read)
