"""A real browser for the tests that look at pages."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NEEDS_A_BROWSER = [pytest.mark.platform, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def screenshots_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where TUNEGATE_SCREENSHOTS says, or a folder of the test's own."""
    folder = Path(os.environ.get("TUNEGATE_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
