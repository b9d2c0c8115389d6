"""A headless Chromium, which emulates screens and colour schemes."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import programs

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def running_chromium() -> Iterator[Any]:
    """Run a browser, and yield its driver."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs.chromium() or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


@contextmanager
def emulated(driver: Any, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[None]:
    """Emulate a screen, a phone if it is narrow, and a colour scheme."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
