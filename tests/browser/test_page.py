"""The page of the fake as people use it, in Chromium without a window: live, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests

from chatarmin_os import ChatarminOS, UsageLimitError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import FakeService, Server, serve_fake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "os_sk_browser_one"
OTHER_KEY = "os_sk_browser_two"
PATIENCE = 30  # seconds: a busy machine may be slow, and what is waited for comes or the test fails
HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & Söhne"


def _missing() -> str | None:
    if not (shutil.which("chromium") or shutil.which("google-chrome")) or not shutil.which("chromedriver"):
        return "there is no Chromium with its driver: apt-get install chromium chromium-driver"
    return None


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Run a browser for all tests of the page."""
    if reason := _missing():
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


class Page:
    """The page in a browser, and the service's side of it."""

    def __init__(self, driver: Any, url: str, fake: FakeTransport) -> None:
        self.driver, self.url, self.fake = driver, url, fake
        self.root = url.removesuffix("/api/v1") + "/"
        self.client = ChatarminOS(transport=fake)

    def open(self, fragment: str = "") -> None:
        """Open it."""
        self.driver.get("about:blank")
        self.driver.get(self.root + fragment)

    def find(self, selector: str) -> Any:
        """Return the first element that a selector finds."""
        return self.driver.find_element("css selector", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of all elements that a selector finds."""
        found = "[...document.querySelectorAll(arguments[0])].map(node => node.innerText.replace(/\\s+/g, ' ').trim())"
        texts: list[str] = self.driver.execute_script(f"return {found}", selector)
        return texts

    def until(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        wait = WebDriverWait(self.driver, PATIENCE, 0.05, ignored_exceptions=[WebDriverException])
        wait.until(lambda _: condition())

    def sees(self, selector: str, text: str) -> None:
        """Wait until one of the elements has a text."""
        self.until(lambda: any(text in one for one in self.texts(selector)))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, selector: str) -> None:
        """Go through what can be reached with the tabulator until the element has the focus."""
        from selenium.webdriver.common.keys import Keys

        for _ in range(60):
            if self.driver.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return
            self.press(Keys.TAB)
        raise AssertionError(f"{selector} is not reached by keyboard")

    def problems(self) -> list[str]:
        """Return what the browser complained about."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in {"SEVERE", "WARNING"}]


@contextmanager
def _emulated(driver: Any, *, width: int = 1280, height: int = 900, scheme: str = "light") -> Iterator[None]:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    try:
        yield
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.fixture
def page(chromium: Any) -> Iterator[Page]:
    """Open the page of a product with two companies; whatever the test does, the browser must not complain."""
    fake = FakeTransport(demo_catalogue())
    with serve_fake({KEY: fake}) as url:
        page = Page(chromium, url, fake)
        page.client.onboard(external_org_id="org_bolt", hints={"company_name": "Bolt Ltd"}, tier_code="free")
        page.client.onboard(external_org_id="org_acme", hints={"company_name": "Acme GmbH"}, tier_code="pro")
        with _emulated(chromium):
            page.open()
            page.sees(".company .name", "Bolt Ltd")
            yield page
        assert page.problems() == []
        chromium.get("about:blank")  # it asks no more when the service goes


def _company(page: Page, name: str) -> Any:
    [node] = [node for node in page.driver.find_elements("css selector", ".company") if name in node.text]
    return node


def test_without_a_call_the_page_says_how_to_begin(chromium: Any) -> None:
    """The first thing to see is the base URL and a call to paste; the first call replaces it."""
    with serve_fake() as url:
        page = Page(chromium, url, FakeTransport())
        page.open()
        page.sees("#base", url)
        page.sees("#example-curl", f"curl '{url}/tiers.list'")
        assert not page.find("#main").is_displayed()

        with ChatarminOS(KEY, base_url=url) as client:
            client.tiers.list()

        page.sees(".call .path", "tiers.list")
        assert not page.find("#welcome").is_displayed()
        assert page.problems() == []
        chromium.get("about:blank")


def test_what_happens_shows_without_reloading(page: Page) -> None:
    """Companies, usage, limits and calls of an application come by themselves, newest first."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        bolt = client.companies.get_by_product_link(external_org_id="org_bolt")
        assert bolt
        client.billing.track_usage(company_id=bolt.id, feature_code="ai_credit", quantity=100)
        with pytest.raises(UsageLimitError):
            client.billing.track_usage(company_id=bolt.id, feature_code="ai_credit", quantity=1)

    page.until(lambda: page.texts(".call .path")[:2] == ["billing.trackUsage"] * 2)
    assert "PRECONDITION_FAILED" in page.texts(".call.bad .brief")[0]
    card = _company(page, "Bolt Ltd")
    card.find_element("css selector", "summary").click()
    page.sees(".feature", "AI credits 100 of 100 at its limit")
    meter = card.find_element("css selector", "[role=meter]")
    assert (meter.get_attribute("aria-valuenow"), meter.get_attribute("aria-valuemax")) == ("100", "100")


def test_each_state_of_an_access_has_a_word(page: Page) -> None:
    """Unlimited, on, off, expired and at the limit are told apart without colours."""
    acme = page.client.companies.get_by_product_link(external_org_id="org_acme")
    assert acme
    page.client.features.set_access(company_id=acme.id, feature_code="ai_credit", quantity_limit=None)
    page.client.features.set_access(company_id=acme.id, feature_code="seats", quantity_limit=0)
    page.client.features.set_access(
        company_id=acme.id, feature_code="team_seats", is_enabled=True, valid_until="2024-01-01"
    )
    page.open()
    page.sees(".company .name", "Acme GmbH")
    _company(page, "Acme GmbH").find_element("css selector", "summary").click()

    page.sees(".feature", "AI credits 0 used unlimited")
    page.sees(".feature", "Seats 0 of 0 at its limit")
    page.sees(".feature", "Team seats expired")
    page.sees(".feature", "API access included on")
    page.sees(".feature", "Single sign-on off")


def test_a_call_opens_and_stays_open_while_others_come(page: Page) -> None:
    """Input and answer are there to read, however many calls come meanwhile."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.get("pro")
        page.sees(".call .path", "tiers.get")
        page.find(".call summary").click()
        page.sees(".call pre", '"tierCode": "pro"')
        page.sees(".call pre", '"stripePriceIds"')
        client.tiers.list()
        page.sees(".call .path", "tiers.list")

    assert len(page.texts(".call[open]")) == 1
    assert "tiers.get" in page.texts(".call[open] .path")


def test_calls_can_be_filtered_and_paused(page: Page) -> None:
    """A filter leaves those that have its text; a pause lets nothing move until it ends."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.list()
        client.tiers.get("pro")
        page.sees(".call .path", "tiers.get")
        page.find("#filter").send_keys("stripePrice")
        page.until(lambda: page.texts(".call .path") == ["tiers.get"])
        page.find("#filter").clear()
        page.find("#filter").send_keys(" ")
        page.until(lambda: page.texts(".call .path") == ["tiers.get", "tiers.list"])

        page.find("#pause").click()
        page.client.onboard(external_org_id="org_late", hints={"company_name": "Late Ltd"})
        client.tiers.get("free")
        page.sees(".company .name", "Late Ltd")
        assert page.texts(".call .path") == ["tiers.get", "tiers.list"]
        page.find("#pause").click()
        page.until(lambda: page.texts(".call .path")[:2] == ["tiers.get", "tiers.get"])


def test_a_checkout_is_completed_by_keyboard(page: Page) -> None:
    """The tabulator reaches the button of an open session, and the return key presses it."""
    from selenium.webdriver.common.keys import Keys

    session = page.fake.stripe.add_checkout_session(["price_pro_base"], complete=False)
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.list()
    page.sees("#session-list .id", session)

    page.tab_to("#session-list button")
    page.press(Keys.ENTER)

    page.sees("#session-list .tag", "complete, not claimed")
    page.sees("#status", "The checkout is complete.")
    billing = page.client.onboard(external_org_id="org_bolt", checkout_session_id=session).billing_status
    assert billing
    assert billing.claimed


def test_handles_of_companies_and_subscriptions(page: Page) -> None:
    """A tier is applied, a checkout added and claimed, its subscription renewed and cancelled, the clock advanced."""
    acme = page.client.companies.get_by_product_link(external_org_id="org_acme")
    assert acme
    card = _company(page, "Acme GmbH")
    card.find_element("css selector", "summary").click()
    from selenium.webdriver.support.select import Select

    Select(card.find_element("css selector", ".tier select")).select_by_visible_text("Enterprise")
    card.find_element("css selector", ".tier button").click()
    page.sees("#status", "Enterprise is applied.")
    assert page.client.features.check(company_id=acme.id, feature_code="sso").can_use

    page.find("#checkout button").click()
    page.sees("#session-list .tag", "open")
    page.find("#session-list button").click()
    page.sees("#subscription-list .tag", "active")
    assert not page.find("#subscription-list button").is_displayed()
    session = page.find("#session-list .id").text
    page.client.billing.claim_checkout(company_id=acme.id, checkout_session_id=session)
    page.until(page.find("#subscription-list button").is_displayed)
    page.find("#subscription-list button").click()
    page.sees("#status", "A new billing period")
    page.find("#subscription-list button.danger").click()
    page.sees("#subscription-list .tag", "cancelled")

    page.find("[data-advance='30']").click()
    page.sees("#moved", "30 days ahead")


def test_the_next_call_fails_as_it_was_told(page: Page) -> None:
    """A fault is arranged in a dialog, shows while it waits, and is gone when it has struck."""
    from selenium.webdriver.support.select import Select

    with ChatarminOS(KEY, base_url=page.url, max_retries=0) as client:
        client.tiers.list()
        page.sees(".call .path", "tiers.list")
        page.find("#fail").click()
        Select(page.find("#fail-path")).select_by_value("tiers.list")
        Select(page.find("#fail-error")).select_by_value("CONFLICT")
        page.find("#fail-form button.primary").click()
        page.sees(".fault", "The next call of tiers.list fails with CONFLICT.")

        with pytest.raises(Exception, match="CONFLICT"):
            client.tiers.list()

    page.until(lambda: page.texts(".fault") == [])
    page.sees(".call.bad .brief", "CONFLICT")


def test_a_reset_asks_first(page: Page) -> None:
    """Nothing is forgotten by one press; the second forgets companies and keeps the tiers."""
    page.find("#reset").click()
    page.find("#reset-dialog [data-close]").click()
    assert len(page.texts(".company")) == 2

    page.find("#reset").click()
    page.find("#reset-form button.danger").click()

    page.until(lambda: page.texts(".company") == [])
    assert [tier.code for tier in page.client.tiers.list()] == ["free", "trial", "pro", "enterprise"]


def test_a_product_can_be_forgotten(chromium: Any) -> None:
    """With its features and tiers; another one is shown then, and its key leads to a new one."""
    with serve_fake() as url:
        page = Page(chromium, url, FakeTransport())
        for key in (KEY, OTHER_KEY):
            with ChatarminOS(key, base_url=url) as client:
                client.onboard(external_org_id=key)
        page.open()
        page.sees(".company .id", KEY)
        page.find("#reset").click()
        assert page.find("#reset-id").text == _at_the_door(page, "products", KEY)[0]["id"]
        page.find("#forget").click()

        page.sees(".company .id", OTHER_KEY)
        assert page.texts("#product option") == ["os_sk_…_two"]
        assert not page.find("#missing").is_displayed()
        with ChatarminOS(KEY, base_url=url) as client:
            assert client.companies.get_by_product_link(external_org_id=KEY) is None
        assert page.problems() == []
        chromium.get("about:blank")


def test_a_dialog_is_about_the_product_that_was_shown(chromium: Any) -> None:
    """If another service answers meanwhile, without that product, nothing of another one is reset."""
    with serve_fake() as url:
        port = int(url.split(":")[2].split("/")[0])
        page = Page(chromium, url, FakeTransport())
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_1")
        page.open()
        page.until(lambda: len(page.texts(".company")) == 1)
        page.find("#reset").click()
        assert page.texts("#reset-title") == ["Reset os_sk_…_one?"]

    kept = FakeTransport(demo_catalogue())
    ChatarminOS(transport=kept).onboard(external_org_id="org_kept")
    with serve_fake({OTHER_KEY: kept}, port=port):
        page.until(page.find("#missing").is_displayed)
        assert not page.find("#reset-dialog").is_displayed()
        assert not page.find("#reset").is_displayed()
        assert page.texts("#product option") == ["choose one", "os_sk_…_two"]
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_2")
        page.sees(".company .id", "org_2")
        assert not page.find("#missing").is_displayed()
        chromium.get("about:blank")
        chromium.get_log("browser")  # it complained of the service that was gone, which was the point
    assert len(kept.snapshot()["companies"]) == 1


def test_what_cannot_be_shown_hides_nothing_else(page: Page) -> None:
    """A request whose input is nested without end is refused, and the page goes on."""
    body = "[" * 5_000 + "]" * 5_000
    for given in (body[4_480:-4_480], body):
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        answer = requests.post(f"{page.url}/billing.trackUsage", given, headers=headers)  # noqa: S113 - waits for no one
        assert answer.status_code == 400

    page.until(lambda: page.texts(".call.bad .path")[:1] == ["billing.trackUsage"])
    assert not page.find("#gone").is_displayed()


def test_products_are_chosen_and_remembered(page: Page) -> None:
    """Each API key has its own companies; the address remembers which was looked at."""
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        client.onboard(external_org_id="org_other", hints={"company_name": "Other Ltd"})
    from selenium.webdriver.support.select import Select

    page.until(lambda: len(page.texts("#product option")) == 2)
    Select(page.find("#product")).select_by_index(1)
    page.until(lambda: page.texts(".company .name") == ["Other Ltd"])

    page.driver.refresh()

    page.until(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert KEY not in page.driver.page_source
    assert OTHER_KEY not in page.driver.page_source


@contextmanager
def _held(page: Page, *parts: str) -> Iterator[None]:
    """Let requests wait whose address or body has one of the parts, as those to a slow service do."""
    hold = """
        const [parts, sent] = [arguments[0], window.fetch];
        const ended = new Promise((end) => { window.endHolding = () => { window.fetch = sent; end(); }; });
        window.held = 0;
        window.fetch = async (url, options) => {
          const text = `${url} ${options?.body}`;
          if (parts.some((part) => text.includes(part))) {
            window.held += 1;
            await ended;
          }
          return sent(url, options);
        };
    """
    page.driver.execute_script(hold, parts)
    yield
    page.until(lambda: page.driver.execute_script("return window.held"))
    page.driver.execute_script("window.endHolding()")


@pytest.fixture
def other(page: Page) -> str:
    """Make another product, with a company of its own, which the page offers and does not show; return the company."""
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        onboarded = client.onboard(external_org_id="org_other", hints={"company_name": "Other Ltd"}, tier_code="pro")
        page.until(lambda: len(page.texts("#product option")) == 2)
    return onboarded.company_id


def _choose_other(page: Page) -> None:
    from selenium.webdriver.support.select import Select

    Select(page.find("#product")).select_by_visible_text("os_sk_…_two")


def _at_the_door(page: Page, name: str, key: str) -> Any:
    answer = requests.get(f"{page.root}__fake__/{name}", headers={"x-api-key": key})  # noqa: S113 - waits for no one
    return answer.json()["result"]["data"]


def _is_untouched(page: Page) -> bool:
    view = _at_the_door(page, "view", KEY)
    told = view["companies_total"], view["moved_by_seconds"], view["faults"], view["sessions"]
    return told == (2, 0, [], [])


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("handle", ["reset", "fail"])
def test_a_dialog_is_about_the_product_that_it_names(page: Page, handle: str) -> None:
    """Also where it was opened before anything of the one that was chosen could be shown."""
    with _held(page, "/products", "/view"):
        _choose_other(page)
        assert page.texts(".company") == []
        assert not page.find("#main").is_displayed()
        page.find(f"#{handle}").click()
        assert "os_sk_…_two" in page.texts(f"#{handle}-title")[0]
        page.find(f"#{handle}-form [type=submit]").click()
        page.until(lambda: page.texts("#status") != [""])

    view = _at_the_door(page, "view", OTHER_KEY)
    assert (view["companies_total"], len(view["faults"])) == ((0, 0) if handle == "reset" else (1, 1))
    assert _is_untouched(page)


@pytest.mark.usefixtures("other")
def test_the_clock_is_that_of_the_product_that_is_named(page: Page) -> None:
    """However slow the service is to tell of it; the clock of the other one is not shown meanwhile."""
    with _held(page, "/products", "/view"):
        _choose_other(page)
        assert page.texts("#now") == ["\u2013"]
        page.find("[data-advance='30']").click()
        page.sees("#status", "The clock is 30 days further.")
    page.sees("#moved", "30 days ahead")
    assert _is_untouched(page)


@pytest.mark.usefixtures("other")
def test_a_checkout_is_of_the_product_on_which_it_was_asked_for(page: Page) -> None:
    """Another one may be chosen while its tier is asked for; what came of it says of which it is."""
    with _held(page, "tiers.get"):
        page.find("#checkout button").click()
        _choose_other(page)
        page.until(lambda: page.texts(".company .name") == ["Other Ltd"])
    page.sees("#status", "os_sk_…_one: A checkout of Pro is open.")
    assert len(_at_the_door(page, "view", KEY)["sessions"]) == 1
    assert _at_the_door(page, "view", OTHER_KEY)["sessions"] == []


@pytest.mark.usefixtures("other")
def test_what_comes_late_of_a_product_is_not_shown_as_another(page: Page) -> None:
    """A look that was under way when another one was chosen shows nothing."""
    watch = """
        const list = document.querySelector("#company-list");
        window.shown = [];
        new MutationObserver(() => window.shown.push(list.textContent)).observe(list, { childList: true });
    """
    page.client.onboard(external_org_id="org_late", hints={"company_name": "Late Ltd"})
    with _held(page, "/view"):
        page.until(lambda: page.driver.execute_script("return window.held"))
        _choose_other(page)
        page.driver.execute_script(watch)
    page.until(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert ["Late Ltd" in text for text in page.driver.execute_script("return window.shown")] == [False]


@pytest.mark.usefixtures("other")
def test_a_pause_shows_no_calls_of_another_product(page: Page) -> None:
    """Those of the one that is chosen are shown as they are then, filtered or not, until the pause ends."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.get("pro")
    page.sees(".call .path", "tiers.get")
    page.find("#pause").click()
    _choose_other(page)
    page.until(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert page.texts(".call .path") == ["onboard", "tiers.list"]
    page.find("#filter").send_keys("tiers")
    page.until(lambda: page.texts(".call .path") == ["tiers.list"])
    page.find("#filter").clear()
    page.find("#filter").send_keys(" ")
    page.until(lambda: page.texts(".call .path") == ["onboard", "tiers.list"])
    page.find("#pause").click()
    assert page.texts(".call .path") == ["onboard", "tiers.list"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """Return the time of the products that are made from then on."""
    clock = [datetime(2026, 1, 1, tzinfo=UTC)]
    monkeypatch.setattr("chatarmin_os.fake.service.real_clock", lambda: clock[0])
    return clock


def test_an_access_that_expires_shows_by_itself(page: Page, clock: list[datetime], other: str) -> None:
    """Nobody calls, and nobody reloads."""
    _choose_other(page)
    page.until(lambda: page.texts(".company .name") == ["Other Ltd"])
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        soon = clock[0] + timedelta(hours=1)
        client.features.set_access(company_id=other, feature_code="sso", is_enabled=True, valid_until=soon)
    page.sees(".feature", "Single sign-on included on")
    clock[0] = soon
    page.sees(".feature", "Single sign-on expired")


def test_companies_are_searched(page: Page) -> None:
    """A search leaves those whose name, domain or ids have the text."""
    page.find("#search").send_keys("org_acme")

    page.until(lambda: page.texts(".company .name") == ["Acme GmbH"])
    assert page.texts("#companies-count") == ["1 of 2"]


def test_what_a_customer_wrote_is_text(page: Page) -> None:
    """A name that is HTML is shown as it is, in companies and calls alike."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.companies.create(name=HOSTILE, external_org_id="org_hostile")

    page.sees(".company .name", HOSTILE)
    page.find(".call summary").click()
    page.sees(".call pre", "onerror")
    assert page.driver.execute_script("return document.querySelectorAll('img').length") == 0
    assert page.driver.title != "owned"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_it_fits_its_screen(page: Page, width: int, scheme: str) -> None:
    """Nothing is wider than a phone, a tablet or a laptop, and the dark scheme is dark."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.companies.create(name="N" * 200, external_org_id="o" * 200)
    with _emulated(page.driver, width=width, scheme=scheme):
        page.sees(".company .name", "N" * 200)
        for summary in page.driver.find_elements("css selector", "summary"):
            page.driver.execute_script("arguments[0].click()", summary)
        page.sees(".call pre", "externalOrgId")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
        ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert ground == ("rgb(246, 247, 246)" if scheme == "light" else "rgb(17, 21, 20)")


def test_it_goes_on_when_the_service_comes_back(chromium: Any) -> None:
    """While nothing answers it says so, and shows the new service without a reload."""
    from threading import Thread

    with serve_fake() as url:
        port = int(url.split(":")[2].split("/")[0])
        page = Page(chromium, url, FakeTransport())
        with ChatarminOS(KEY, base_url=url) as client:
            client.tiers.list()
        page.open()
        page.sees(".call .path", "tiers.list")
    page.until(page.find("#gone").is_displayed)

    server = Server(FakeService(), port=port)
    thread = Thread(target=server.run)
    thread.start()
    try:
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_new", hints={"company_name": "New Ltd"})
        page.sees(".company .name", "New Ltd")
        assert not page.find("#gone").is_displayed()
    finally:
        chromium.get("about:blank")
        chromium.get_log("browser")  # it complained of the service that was gone, which was the point
        server.stop()
        thread.join()
