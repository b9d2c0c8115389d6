"""The page of the local service in a browser, with the fake behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from collections.abc import Callable

    from chatarmin_os.fake import FakeTransport

KEY = "os_sk_browser_one"
OTHER_KEY = "os_sk_browser_two"
MAX_WAIT_SECONDS = 30  # a busy machine may be slow


class Page:
    """The page in a browser, with the fake behind it."""

    def __init__(self, driver: Any, url: str, fake: FakeTransport) -> None:
        self.driver, self.url, self.fake = driver, url, fake
        self.root = url.removesuffix("/api/v1") + "/"
        self.client = ChatarminOS(transport=fake)

    def open(self, fragment: str = "") -> None:
        """Open the page."""
        self.driver.get("about:blank")
        self.driver.get(self.root + fragment)

    def find(self, selector: str) -> Any:
        """Return the first element of a selector."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements of a selector."""
        found = "[...document.querySelectorAll(arguments[0])].map(node => node.innerText.replace(/\\s+/g, ' ').trim())"
        texts: list[str] = self.driver.execute_script(f"return {found}", selector)
        return texts

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self.driver, MAX_WAIT_SECONDS, 0.05, ignored_exceptions=[WebDriverException])
        wait.until(lambda _: condition())

    def wait_for_text(self, selector: str, text: str) -> None:
        """Wait until one of the elements has a text."""
        self.wait_for(lambda: any(text in one for one in self.texts(selector)))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, selector: str) -> None:
        """Press the tabulator until the element has the focus."""
        from selenium.webdriver.common.keys import Keys

        for _ in range(60):
            if self.driver.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{selector} is not reached by keyboard")

    def problems(self) -> list[str]:
        """Return the warnings and errors of the browser."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]

    def open_company(self, name: str) -> None:
        """Choose a company in the list."""
        self.wait_for_text(".company .name", name)
        [node] = [node for node in self.driver.find_elements("css selector", "a.company") if name in node.text]
        node.click()
        self.wait_for_text("#company-name", name)
        self.wait_for(self.find("#company-content").is_displayed)
