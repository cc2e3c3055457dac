"""The page in Debian's Firefox, led by WebDriver BiDi, which it speaks without a driver."""

import json
import shutil
import socket
import subprocess
import time

import pytest

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly("Chromium opens each view, and Firefox takes ten seconds to begin"),
    pytest.mark.skipif(FIREFOX is None, reason="no Firefox here: apt install firefox-esr"),
]


class Firefox:
    """One window. Commands are those of https://w3c.github.io/webdriver-bidi."""

    def __init__(self, socket):
        self.socket, self.number, self.complaints = socket, 0, []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        (self.window,) = self.ask("browsingContext.getTree")["contexts"]

    def ask(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv(timeout=120))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.complaints.append(answer["params"]["text"])
            if answer.get("id") == self.number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def size(self, width, height):
        viewport = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=self.window["context"], viewport=viewport)

    def open(self, url, ready):
        context = self.window["context"]
        self.ask("browsingContext.navigate", context=context, url="about:blank", wait="complete")
        self.ask("browsingContext.navigate", context=context, url=url, wait="complete")
        until = time.monotonic() + 60
        while not self.value(f"!!document.querySelector({json.dumps(ready)})"):
            assert time.monotonic() < until, f"no {ready} at {url}"
            time.sleep(0.1)

    def value(self, expression):
        target = {"context": self.window["context"]}
        told = self.ask("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert told["type"] == "success", told
        return told["result"].get("value")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    client = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
    profile = tmp_path_factory.mktemp("profile")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [FIREFOX, "--headless", "--no-remote", "--profile", str(profile)]
    command += [f"--remote-debugging-port={port}", "about:blank"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
        try:
            until = time.monotonic() + 120
            while True:
                try:
                    link = client.connect(f"ws://127.0.0.1:{port}/session", max_size=None)
                    break
                except OSError:
                    assert child.poll() is None
                    assert time.monotonic() < until
                    time.sleep(0.5)
            with link:
                yield Firefox(link)
        finally:
            child.terminate()
            child.wait(timeout=60)


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (400, 812)], ids=["desktop", "phone"])
def test_every_view_is_drawn_and_no_wider_than_the_window(
    firefox, shown, three_tasks, views, width, height
):
    firefox.size(width, height)
    asked = [(three_tasks, "", "#overview table"), *((shown.site, *v) for v in views.values())]
    for site, address, ready in asked:
        firefox.open(f"file://{site}/index.html{address}", ready)
        firefox.value(
            "document.querySelectorAll('main section:not([hidden]) details')"
            ".forEach(d => d.open = true)"
        )
        time.sleep(0.5)
        assert firefox.value("document.documentElement.scrollWidth") <= width, address
        assert firefox.value("document.getElementById('failed').textContent") == "", address
    assert firefox.complaints == []


def test_two_rows_side_by_side_are_unpacked_as_in_chromium(firefox, shown, views):
    address, ready = views["beside"]
    firefox.size(1280, 900)
    firefox.open(f"file://{shown.site}/index.html{address}", ready)
    cells = "[...document.querySelector('#beside table').querySelectorAll('td')]"
    count = firefox.value(f"{cells}.map(td => parseInt(td.textContent)).reduce((a, b) => a + b)")
    assert count == len(shown.outputs("cnn")[0].targets)
    charts = "document.querySelectorAll('#task-figures svg, #beside svg').length"
    firefox.value("document.querySelectorAll('.part').forEach(d => d.open = true)")
    time.sleep(0.5)
    assert firefox.value(charts) >= 6
