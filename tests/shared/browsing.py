"""A page opened from disk in Debian's Chromium, led by Playwright; one browser a session."""

import os
import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 812}


@pytest.fixture(scope="session")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt install chromium")
    playwright.expect.set_options(timeout=60_000)
    sandbox = ["--no-sandbox"] if os.name == "posix" and os.getuid() == 0 else []
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=sandbox, timeout=120_000)
        yield browser
        browser.close()


class Visit:
    """A page opened from disk, and all that it complained of or asked for."""

    def __init__(self, page, site):
        self.page, self.site = page, site
        self.complaints, self.requests = [], []
        page.on("console", lambda m: self.complaints.append(m.text))
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("dialog", lambda d: (self.complaints.append(d.message), d.dismiss()))
        page.on("request", lambda r: self.requests.append(r.url))

    def open(self, fragment="", ready="#count:not(:empty)"):
        self.page.goto(f"file://{self.site}/index.html{fragment}")
        self.page.wait_for_selector(ready)
        return self.page

    @property
    def bytes(self):
        names = [url.removeprefix("file://") for url in self.requests if url.startswith("file:")]
        return sum(os.path.getsize(name.partition("#")[0]) for name in names)  # noqa: PTH202


@pytest.fixture
def visit(browser):
    """Open a site's page; at the end nothing may have gone wrong or outside."""
    contexts, visits = [], []

    def visit(site, viewport=DESKTOP, **options):
        context = browser.new_context(viewport=viewport, **options)
        contexts.append(context)
        visits.append(Visit(context.new_page(), site))
        return visits[-1]

    yield visit
    for context in contexts:
        context.close()
    for each in visits:
        assert each.complaints == []
        assert [u for u in each.requests if not u.startswith(("file:", "data:"))] == []
