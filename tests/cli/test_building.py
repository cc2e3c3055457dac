"""What is drawn while the environment of a plugin is built."""

import io
import time
from itertools import chain, repeat
from types import SimpleNamespace

from rich.console import Console

from codonbench.cli import bars
from codonbench.execution.environment import Step


def test_a_bar_tells_what_is_downloaded_and_how_long_the_rest_takes_at_most(monkeypatch):
    shown, now = io.StringIO(), time.monotonic()
    clock = chain([now - 10], repeat(now))
    console = Console(file=shown, force_terminal=True, width=110)
    monkeypatch.setattr(bars, "messages", lambda: console)
    monkeypatch.setattr(bars, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with bars.building_shown("{mine}.py") as tell:
        tell(Step("downloading numpy, 10.0 MiB", 0.0, 40.0))
        tell(Step("downloaded numpy: 10.0 of 40.0 MiB", 10.0, 40.0))
    text = shown.getvalue()
    assert "plugin {mine}.py: downloaded numpy: 10.0 of 40.0 MiB" in text
    assert "≤ 0:00:30 left" in text
    assert "its environment is built, in " in text
