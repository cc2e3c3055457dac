"""Data as script files: a page opened from disk may not fetch, but it may load a script.

A script can do anything, so a file that was committed is only taken for data where it is, to the
byte, what we would have written for what it says. Text is made to show as itself, whoever wrote
it.
"""

from __future__ import annotations

import json
from typing import TypeVar

from codonbench.contracts import Frozen
from codonbench.contracts.run_spec import canonical_json
from codonbench.errors import StoreError
from codonbench.records.files import visible

Content = TypeVar("Content", bound=Frozen)

_UNSAFE = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029\x7f"}
"""What could end a script element or, in older engines, a string; all else is ASCII already."""

LONGEST = 160


def as_script(function: str, content: Frozen) -> bytes:
    """Return a script that calls ``codonbench.<function>`` with the content, and does no more."""
    text = canonical_json(content.model_dump(mode="json"))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return f"codonbench.{function}({text});\n".encode("ascii")


def from_script(function: str, script: bytes, kind: type[Content]) -> Content:
    """Return the content of a script of ours.

    Raises:
        StoreError: It is not, to the byte, a script of ours.
    """
    opening, closing = f"codonbench.{function}(".encode(), b");\n"
    if not (script.startswith(opening) and script.endswith(closing)):
        raise StoreError(f"does not call codonbench.{function} and nothing else")
    try:
        content = kind.model_validate_json(script[len(opening) : -len(closing)])
    except ValueError as error:
        reason = json.dumps(str(error).splitlines()[0])
        raise StoreError(f"holds no {kind.__name__}: {reason}") from error
    if as_script(function, content) != script:
        raise StoreError("is not written as 'bench site' writes")
    return content


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Return text without control and formatting characters, cut where it is overlong.

    Line breaks and right-to-left marks become spaces. Nothing is escaped: the page puts text into
    text nodes, where markup has no meaning.

    >>> shown("a\u202eb")
    'a b'
    """
    return visible(text, longest)


def shown_facts(facts: dict[str, object]) -> str:
    """Return ``hidden [64, 1024], input 64-bit``: a mapping by name, for people."""
    texts = {name: "none" if value is None else str(value) for name, value in facts.items()}
    return ", ".join(f"{shown(name)} {shown(text)}" for name, text in sorted(texts.items()))
