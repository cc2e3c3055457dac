"""The documentation as a site: `make docs` builds it, and fails where a link leads nowhere.

Sphinx with MyST reads these pages as they are, checks every link and anchor, and is maintained;
Material for MkDocs, which would do the same, ends in May 2027. A notebook is a page, too, with its
cells as they are committed, which have no outputs: a test runs it, this build does not.
"""

import json
import re
from pathlib import Path

project = "codonbench"
author = "The codonbench developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown", ".ipynb": "markdown"}
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


def _pages_text(notebook: str) -> str:
    r"""Return a notebook as Markdown, each cell of code in a block of its own.

    >>> _pages_text('{"cells": [{"cell_type": "code", "source": ["1 + 1"]}]}')
    '```python\n1 + 1\n```'
    """
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"])
    return "\n\n".join(
        text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells
    )


def setup(app):
    """Take links out of pages, put the README on the first, and read notebooks."""

    def read(app, name, source):
        if name == "index":
            readme = (DOCS.parent / "README.md").read_text().partition("\n")[2]
            readme = _without_links_out(readme, DOCS.parent).replace("](docs/", "](")
            source[0] = source[0].replace("<!-- README -->", readme)
        path = Path(app.env.doc2path(name))
        if path.suffix == ".ipynb":
            where = path.relative_to(DOCS.parent)
            source[0] = f"{_pages_text(source[0])}\n\nThis page is a notebook, `{where}`."
        source[0] = _without_links_out(source[0], path.parent)

    app.connect("source-read", read)
