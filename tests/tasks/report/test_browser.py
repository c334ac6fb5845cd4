"""The page in a real browser: at a desk and on a phone, by day and by night."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, expect

from tests.browser import NEEDS_A_BROWSER, chromium, screenshots_folder

pytestmark = NEEDS_A_BROWSER


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return screenshots_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def pages(page: str, first_page: str, refused_page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each verdict as a file."""
    folder = tmp_path_factory.mktemp("pages")
    files = {"passed": page, "inconclusive": first_page, "refused": refused_page}
    for name, text in files.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in files}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
@pytest.mark.parametrize("name", ["passed", "inconclusive", "refused"])
def test_nothing_sticks_out_and_the_verdict_is_seen_first(
    browser: Browser, pages: dict[str, Path], name: str, width: int, scheme: Literal["light", "dark"], shots: Path
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    told: list[str] = []
    page = context.new_page()
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda request: told.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(pages[name].as_uri())
    page.screenshot(path=shots / f"report-{name}-{width}-{scheme}.png")
    expect(page.locator("h1")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    gates = page.locator("#verdict .scroll")
    assert width < 1280 or gates.evaluate("table => table.scrollWidth <= table.clientWidth")
    dark = page.evaluate(
        "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).every(c => c < 90)"
    )
    assert dark == (scheme == "dark")
    assert told == []
    context.close()
