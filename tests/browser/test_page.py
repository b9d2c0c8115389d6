"""The page of the local service in headless Chromium: live updates, keyboard, phone, dark scheme."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import requests
from browsing import emulated
from local_page import KEY, OTHER_KEY, Page
from ports import free_port

from chatarmin_os import ChatarminOS, UsageLimitError
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.server import FakeService, Server, serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["local_page_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

HOSTILE = "<img src=x onerror=\"document.title='owned'\"> & Söhne"


def test_page_shows_the_first_steps_before_any_call(chromium: Any) -> None:
    """The base URL and a call to paste; the first call replaces them."""
    with serve_fake() as url:
        page = Page(chromium, url, FakeTransport())
        page.open()
        page.wait_for_text("#base", url)
        page.wait_for_text("#example-curl", f"curl '{url}/tiers.list'")
        assert not page.find("#main").is_displayed()

        with ChatarminOS(KEY, base_url=url) as client:
            client.tiers.list()

        page.wait_for_text(".call .path", "tiers.list")
        assert not page.find("#welcome").is_displayed()
        assert page.problems() == []
        chromium.get("about:blank")


def test_changes_show_without_a_reload(page: Page) -> None:
    """Companies, usage, limits and calls of an application, newest first."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        bolt = client.companies.get_by_product_link(external_org_id="org_bolt")
        assert bolt
        client.billing.track_usage(company_id=bolt.id, feature_code="ai_credit", quantity=100)
        with pytest.raises(UsageLimitError):
            client.billing.track_usage(company_id=bolt.id, feature_code="ai_credit", quantity=1)

    page.wait_for(lambda: page.texts(".call .path")[:2] == ["billing.trackUsage"] * 2)
    assert "PRECONDITION_FAILED" in page.texts(".call.bad .brief")[0]
    page.open_company("Bolt Ltd")
    page.wait_for_text(".feature", "AI credits 100 of 100 at its limit")
    meter = page.find("[role=meter]")
    assert (meter.get_attribute("aria-valuenow"), meter.get_attribute("aria-valuemax")) == ("100", "100")


def test_each_state_of_an_access_has_a_word(page: Page) -> None:
    """Unlimited, on, off, expired and at the limit differ without colours."""
    acme = page.client.companies.get_by_product_link(external_org_id="org_acme")
    assert acme
    page.client.features.set_access(company_id=acme.id, feature_code="ai_credit", quantity_limit=None)
    page.client.features.set_access(company_id=acme.id, feature_code="seats", quantity_limit=0)
    page.client.features.set_access(
        company_id=acme.id, feature_code="team_seats", is_enabled=True, valid_until="2024-01-01"
    )
    page.open()
    page.open_company("Acme GmbH")

    page.wait_for_text(".feature", "AI credits 0 used unlimited")
    page.wait_for_text(".feature", "Seats 0 of 0 at its limit")
    page.wait_for_text(".feature", "Team seats expired")
    page.wait_for_text(".feature", "API access included on")
    page.wait_for_text(".feature", "Single sign-on off")


def test_opened_call_stays_open(page: Page) -> None:
    """Its input and response stay readable while other calls arrive."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.get("pro")
        page.wait_for_text(".call .path", "tiers.get")
        page.find(".call summary").click()
        page.wait_for_text(".call pre", '"tierCode": "pro"')
        page.wait_for_text(".call pre", '"stripePriceIds"')
        client.tiers.list()
        page.wait_for_text(".call .path", "tiers.list")

    assert len(page.texts(".call[open]")) == 1
    assert "tiers.get" in page.texts(".call[open] .path")


def test_calls_can_be_filtered_and_paused(page: Page) -> None:
    """A filter shows the calls with its text; a pause stops changes until it ends."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.list()
        client.tiers.get("pro")
        page.wait_for_text(".call .path", "tiers.get")
        page.find("#filter").send_keys("stripePrice")
        page.wait_for(lambda: page.texts(".call .path") == ["tiers.get"])
        page.find("#filter").clear()
        page.find("#filter").send_keys(" ")
        page.wait_for(lambda: page.texts(".call .path") == ["tiers.get", "tiers.list"])

        page.find("#pause").click()
        page.client.onboard(external_org_id="org_late", hints={"company_name": "Late Ltd"})
        client.tiers.get("free")
        page.wait_for_text(".company .name", "Late Ltd")
        assert page.texts(".call .path") == ["tiers.get", "tiers.list"]
        page.find("#pause").click()
        page.wait_for(lambda: page.texts(".call .path")[:2] == ["tiers.get", "tiers.get"])


def test_checkout_can_be_completed_by_keyboard(page: Page) -> None:
    """The tabulator reaches the button of an open session, and the return key presses it."""
    from selenium.webdriver.common.keys import Keys

    session = page.fake.stripe.add_checkout_session(["price_pro_base"], complete=False)
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.list()
    page.wait_for_text("#session-list .id", session)

    page.tab_to("#session-list button")
    page.press(Keys.ENTER)

    page.wait_for_text("#session-list .tag", "complete, not claimed")
    page.wait_for_text("#status", "The checkout is complete.")
    billing = page.client.onboard(external_org_id="org_bolt", checkout_session_id=session).billing_status
    assert billing
    assert billing.claimed


def test_controls_of_companies_and_subscriptions_work(page: Page) -> None:
    """A tier is applied, a checkout added and claimed, its subscription renewed and cancelled, the clock advanced."""
    acme = page.client.companies.get_by_product_link(external_org_id="org_acme")
    assert acme
    page.open_company("Acme GmbH")
    from selenium.webdriver.support.select import Select

    Select(page.find("#company-tier")).select_by_visible_text("Enterprise")
    page.find("#company-apply").click()
    page.wait_for_text("#status", "Applied the tier Enterprise.")
    assert page.client.features.check(company_id=acme.id, feature_code="sso").can_use
    page.find("#company-back").click()

    page.find("#checkout button").click()
    page.wait_for_text("#session-list .tag", "open")
    page.find("#session-list button").click()
    page.wait_for_text("#subscription-list .tag", "active")
    assert not page.find("#subscription-list button").is_displayed()
    session = page.find("#session-list .id").text
    page.client.billing.claim_checkout(company_id=acme.id, checkout_session_id=session)
    page.wait_for(page.find("#subscription-list button").is_displayed)
    page.find("#subscription-list button").click()
    page.wait_for_text("#status", "A new billing period")
    page.find("#subscription-list button.danger").click()
    page.wait_for_text("#subscription-list .tag", "cancelled")

    page.find("[data-advance='30']").click()
    page.wait_for_text("#moved", "30 days ahead")


def test_next_call_fails_with_the_chosen_error(page: Page) -> None:
    """A dialog injects the failure, which shows until it has happened."""
    from selenium.webdriver.support.select import Select

    with ChatarminOS(KEY, base_url=page.url, max_retries=0) as client:
        client.tiers.list()
        page.wait_for_text(".call .path", "tiers.list")
        page.find("#fail").click()
        Select(page.find("#fail-path")).select_by_value("tiers.list")
        Select(page.find("#fail-error")).select_by_value("CONFLICT")
        page.find("#fail-form button.primary").click()
        page.wait_for_text(".fault", "The next call of tiers.list fails with CONFLICT.")

        with pytest.raises(Exception, match="CONFLICT"):
            client.tiers.list()

    page.wait_for(lambda: page.texts(".fault") == [])
    page.wait_for_text(".call.bad .brief", "CONFLICT")


def test_reset_asks_for_confirmation(page: Page) -> None:
    """The second click deletes companies and keeps the tiers."""
    page.find("#reset").click()
    page.find("#reset-dialog [data-close]").click()
    assert len(page.texts(".company")) == 2

    page.find("#reset").click()
    page.find("#reset-form button.danger").click()

    page.wait_for(lambda: page.texts(".company") == [])
    assert [tier.code for tier in page.client.tiers.list()] == ["free", "trial", "pro", "enterprise"]


def test_product_can_be_forgotten(chromium: Any) -> None:
    """With its features and tiers; the page shows another one, and the key leads to a new one."""
    with serve_fake() as url:
        page = Page(chromium, url, FakeTransport())
        for key in (KEY, OTHER_KEY):
            with ChatarminOS(key, base_url=url) as client:
                client.onboard(external_org_id=key)
        page.open()
        page.wait_for_text(".company .id", KEY)
        page.find("#reset").click()
        assert page.find("#reset-id").text == _ask_control_api(page, "products", KEY)[0]["id"]
        page.find("#forget").click()

        page.wait_for_text(".company .id", OTHER_KEY)
        assert page.texts("#product option") == ["os_sk_…_two"]
        assert not page.find("#missing").is_displayed()
        with ChatarminOS(KEY, base_url=url) as client:
            assert client.companies.get_by_product_link(external_org_id=KEY) is None
        assert page.problems() == []
        chromium.get("about:blank")


def test_dialog_closes_if_its_product_is_missing(chromium: Any) -> None:
    """If another service without that product responds, no other product is reset."""
    port = free_port()
    with serve_fake(port=port) as url:
        page = Page(chromium, url, FakeTransport())
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_1")
        page.open()
        page.wait_for(lambda: len(page.texts(".company")) == 1)
        page.find("#reset").click()
        assert page.texts("#reset-title") == ["Reset os_sk_…_one?"]

    other = FakeTransport(demo_catalogue())
    ChatarminOS(transport=other).onboard(external_org_id="org_kept")
    with serve_fake({OTHER_KEY: other}, port=port):
        page.wait_for(page.find("#missing").is_displayed)
        assert not page.find("#reset-dialog").is_displayed()
        assert not page.find("#reset").is_displayed()
        assert page.texts("#product option") == ["choose one", "os_sk_…_two"]
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_2")
        page.wait_for_text(".company .id", "org_2")
        assert not page.find("#missing").is_displayed()
        chromium.get("about:blank")
        chromium.get_log("browser")  # it has warned of the missing service, as expected
    assert len(other.snapshot()["companies"]) == 1


def test_input_that_is_nested_too_deep_hides_nothing_else(page: Page) -> None:
    """The call is refused, and the page continues."""
    body = "[" * 5_000 + "]" * 5_000
    for given in (body[4_480:-4_480], body):
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        answer = requests.post(f"{page.url}/billing.trackUsage", given, headers=headers)  # noqa: S113 - on this machine
        assert answer.status_code == 400

    page.wait_for(lambda: page.texts(".call.bad .path")[:1] == ["billing.trackUsage"])
    assert not page.find("#gone").is_displayed()


def test_chosen_product_is_remembered(page: Page) -> None:
    """Each API key has its own companies; the address has the chosen product."""
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        client.onboard(external_org_id="org_other", hints={"company_name": "Other Ltd"})
    from selenium.webdriver.support.select import Select

    page.wait_for(lambda: len(page.texts("#product option")) == 2)
    Select(page.find("#product")).select_by_index(1)
    page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])

    page.driver.refresh()

    page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert KEY not in page.driver.page_source
    assert OTHER_KEY not in page.driver.page_source


@contextmanager
def _delay(page: Page, *parts: str) -> Iterator[None]:
    """Delay the requests whose address or body has one of the parts, as a slow service does."""
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
    page.wait_for(lambda: page.driver.execute_script("return window.held"))
    page.driver.execute_script("window.endHolding()")


@pytest.fixture
def other(page: Page) -> str:
    """Create another product with one company, which the page offers and does not show; return the company's id."""
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        onboarded = client.onboard(external_org_id="org_other", hints={"company_name": "Other Ltd"}, tier_code="pro")
        page.wait_for(lambda: len(page.texts("#product option")) == 2)
    return onboarded.company_id


def _choose_other(page: Page) -> None:
    from selenium.webdriver.support.select import Select

    Select(page.find("#product")).select_by_visible_text("os_sk_…_two")


def _ask_control_api(page: Page, name: str, key: str) -> Any:
    answer = requests.get(f"{page.root}__fake__/{name}", headers={"x-api-key": key})  # noqa: S113 - on this machine
    return answer.json()["result"]["data"]


def _is_untouched(page: Page) -> bool:
    view = _ask_control_api(page, "view", KEY)
    state = view["companies_total"], view["moved_by_seconds"], view["faults"], view["sessions"]
    return state == (2, 0, [], [])


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize("control", ["reset", "fail"])
def test_dialog_is_about_the_product_that_it_names(page: Page, control: str) -> None:
    """Even if it was opened before the data of that product was shown."""
    with _delay(page, "/products", "/view"):
        _choose_other(page)
        assert page.texts(".company") == []
        assert not page.find("#main").is_displayed()
        page.find(f"#{control}").click()
        assert "os_sk_…_two" in page.texts(f"#{control}-title")[0]
        page.find(f"#{control}-form [type=submit]").click()
        page.wait_for(lambda: page.texts("#status") != [""])

    view = _ask_control_api(page, "view", OTHER_KEY)
    assert (view["companies_total"], len(view["faults"])) == ((0, 0) if control == "reset" else (1, 1))
    assert _is_untouched(page)


@pytest.mark.usefixtures("other")
def test_clock_belongs_to_the_chosen_product(page: Page) -> None:
    """However slow the service is; the clock of the other product is not shown."""
    with _delay(page, "/products", "/view"):
        _choose_other(page)
        assert page.texts("#now") == ["\u2013"]
        page.find("[data-advance='30']").click()
        page.wait_for_text("#status", "The clock moved forward by 30 days.")
    page.wait_for_text("#moved", "30 days ahead")
    assert _is_untouched(page)


@pytest.mark.usefixtures("other")
def test_checkout_belongs_to_the_product_of_the_click(page: Page) -> None:
    """Another one is chosen during the request for its tier; the message names the product."""
    with _delay(page, "tiers.get"):
        page.find("#checkout button").click()
        _choose_other(page)
        page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])
    page.wait_for_text("#status", "os_sk_…_one: A checkout of Pro is open.")
    assert len(_ask_control_api(page, "view", KEY)["sessions"]) == 1
    assert _ask_control_api(page, "view", OTHER_KEY)["sessions"] == []


@pytest.mark.usefixtures("other")
def test_late_response_is_not_shown_for_another_product(page: Page) -> None:
    """A refresh that was under way when another product was chosen shows nothing."""
    watch = """
        const list = document.querySelector("#company-list");
        window.shown = [];
        new MutationObserver(() => window.shown.push(list.textContent)).observe(list, { childList: true });
    """
    page.client.onboard(external_org_id="org_late", hints={"company_name": "Late Ltd"})
    with _delay(page, "/view"):
        page.wait_for(lambda: page.driver.execute_script("return window.held"))
        _choose_other(page)
        page.driver.execute_script(watch)
    page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert ["Late Ltd" in text for text in page.driver.execute_script("return window.shown")] == [False]


@pytest.mark.usefixtures("other")
def test_pause_shows_calls_of_the_chosen_product(page: Page) -> None:
    """Those at the time of the choice, filtered or not, until the pause ends."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.tiers.get("pro")
    page.wait_for_text(".call .path", "tiers.get")
    page.find("#pause").click()
    _choose_other(page)
    page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])
    assert page.texts(".call .path") == ["onboard", "tiers.list"]
    page.find("#filter").send_keys("tiers")
    page.wait_for(lambda: page.texts(".call .path") == ["tiers.list"])
    page.find("#filter").clear()
    page.find("#filter").send_keys(" ")
    page.wait_for(lambda: page.texts(".call .path") == ["onboard", "tiers.list"])
    page.find("#pause").click()
    assert page.texts(".call .path") == ["onboard", "tiers.list"]


def test_expired_access_shows_without_a_call(page: Page, clock: list[datetime], other: str) -> None:
    """And without a reload."""
    _choose_other(page)
    page.wait_for(lambda: page.texts(".company .name") == ["Other Ltd"])
    with ChatarminOS(OTHER_KEY, base_url=page.url) as client:
        soon = clock[0] + timedelta(hours=1)
        client.features.set_access(company_id=other, feature_code="sso", is_enabled=True, valid_until=soon)
    page.open_company("Other Ltd")
    page.wait_for_text(".feature", "Single sign-on included on")
    clock[0] = soon
    page.wait_for_text(".feature", "Single sign-on expired")


def test_companies_can_be_searched(page: Page) -> None:
    """By name, domain and ids."""
    page.find("#search").send_keys("org_acme")

    page.wait_for(lambda: page.texts(".company .name") == ["Acme GmbH"])
    assert page.texts("#companies-count") == ["1 (2 in all)"]


def test_names_are_shown_as_text(page: Page) -> None:
    """A name that is HTML shows unchanged, in companies and in calls."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.companies.create(name=HOSTILE, external_org_id="org_hostile")

    page.wait_for_text(".company .name", HOSTILE)
    page.find(".call summary").click()
    page.wait_for_text(".call pre", "onerror")
    assert page.driver.execute_script("return document.querySelectorAll('img').length") == 0
    assert page.driver.title != "owned"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 820, 1280])
def test_page_fits_the_screen(page: Page, width: int, scheme: str) -> None:
    """Nothing is wider than a phone, a tablet or a laptop, and the dark scheme is dark."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.companies.create(name="N" * 200, external_org_id="o" * 200)
    with emulated(page.driver, width=width, scheme=scheme):
        page.wait_for_text(".company .name", "N" * 200)
        for summary in page.driver.find_elements("css selector", "#main summary"):
            page.driver.execute_script("arguments[0].click()", summary)
        page.wait_for_text(".call pre", "externalOrgId")
        page.wait_for_text(".tier-card", "Enterprise")
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width
        ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert ground == ("rgb(246, 247, 246)" if scheme == "light" else "rgb(17, 21, 20)")


def test_page_continues_when_the_service_is_back(chromium: Any) -> None:
    """It says that nothing responds, and shows the new service without a reload."""
    from threading import Thread

    port = free_port()
    with serve_fake(port=port) as url:
        page = Page(chromium, url, FakeTransport())
        with ChatarminOS(KEY, base_url=url) as client:
            client.tiers.list()
        page.open()
        page.wait_for_text(".call .path", "tiers.list")
    page.wait_for(page.find("#gone").is_displayed)

    server = Server(FakeService(), port=port)
    thread = Thread(target=server.run)
    thread.start()
    try:
        with ChatarminOS(KEY, base_url=url) as client:
            client.onboard(external_org_id="org_new", hints={"company_name": "New Ltd"})
        page.wait_for_text(".company .name", "New Ltd")
        assert not page.find("#gone").is_displayed()
    finally:
        chromium.get("about:blank")
        chromium.get_log("browser")  # it has warned of the missing service, as expected
        server.stop()
        thread.join()
