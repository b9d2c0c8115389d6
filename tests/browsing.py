"""A headless Chromium, which emulates screens and colour schemes."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIN_CONTRAST = 4.5
_PALE_TEXTS = """
function luminance(colour) {
    const linear = part => part <= .03928 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4
    const [r, g, b] = colour.slice(0, 3).map(part => linear(part / 255))
    return .2126 * r + .7152 * g + .0722 * b
}
const parsed = text => text.match(/[\\d.]+/g).map(Number)
const canvas = document.body.appendChild(document.createElement("p"))
canvas.style.backgroundColor = "Canvas"
const page = parsed(getComputedStyle(canvas).backgroundColor)
canvas.remove()
function behind(element) {
    for (; element; element = element.parentElement) {
        const colour = parsed(getComputedStyle(element).backgroundColor)
        if (colour.length < 4 || colour[3] == 1) return colour
    }
    return page
}
const pale = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.textContent.trim()
    if (!text || !element.checkVisibility() || element.closest(":disabled, noscript")) continue
    const style = getComputedStyle(element)
    const colour = parsed(element instanceof SVGElement ? style.fill : style.color)
    const both = [colour, behind(element)].map(luminance)
    if ((Math.max(...both) + .05) / (Math.min(...both) + .05) < arguments[0]) pale.push(text)
}
return pale
"""


def pale_texts(driver: Any) -> list[str]:
    """Return the texts of a page whose contrast with their ground is below 4.5, by the formula of WCAG."""
    found: list[str] = driver.execute_script(_PALE_TEXTS, _MIN_CONTRAST)
    return found


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
