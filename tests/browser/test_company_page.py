"""The page of one company in headless Chromium: timeline, reasons, usage over time, calls, export."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
import requests
from browsing import emulated, pale_texts
from local_page import KEY, Page
from waiting import until

from chatarmin_os import ApiError, ChatarminOS
from chatarmin_os.fake import FakeTransport
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["local_page_fixtures"]
pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium")]

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
PRO = ["price_pro_base", "price_pro_ai_credit", "price_pro_seats"]


class Acme:
    """A customer with a past: it has used up its tier, paid for another one, and lost a part of that."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.client = ChatarminOS(KEY, base_url=page.url)
        company = self.client.companies.get_by_product_link(external_org_id="org_acme")
        assert company
        self.id = company.id
        self.client.tiers.apply(company_id=self.id, tier_code="free")
        self.use(60)
        with suppress(ApiError):
            self.use(60)
        self.control("advance", days=3)
        session = self.control("stripe.add_checkout_session", price_ids=PRO)
        self.client.billing.claim_checkout(company_id=self.id, checkout_session_id=session)
        self.use(1200)
        self.client.features.set_access(company_id=self.id, feature_code="seats", quantity_limit=0)

    def use(self, quantity: int) -> None:
        """Report usage."""
        self.client.billing.track_usage(company_id=self.id, feature_code="ai_credit", quantity=quantity)

    def control(self, name: str, **given: Any) -> Any:
        """Use a test control."""
        answer = requests.post(f"{self.page.root}__fake__/{name}", json=given, headers={"x-api-key": KEY})  # noqa: S113 - on this machine
        return answer.json()["result"].get("data")


@pytest.fixture
def acme(page: Page) -> Iterator[Acme]:
    """Give a company a past, and show it."""
    acme = Acme(page)
    with acme.client:
        page.open_company("Acme GmbH")
        page.wait_for_text(".event", "Seats: limit 25 → 0")
        yield acme


def test_timeline_has_each_event_with_its_call(page: Page, acme: Acme) -> None:
    """Newest first: access by hand, usage, Stripe, the clock, a refusal, the tier; and new ones without a reload."""
    events = page.texts(".event")
    expected = [
        ("features.setAccess #7 ok", "access Seats: limit 25 → 0"),
        ("billing.trackUsage #6 ok", "usage Used 1,200 of AI credits: 60 → 1,260 of 10,000, 260 billable"),
        ("billing.claimCheckout #5 ok", "tier Tier: Free → Pro"),
        ("test control advance ok", "clock The clock moved forward: 3 days"),
        ("billing.trackUsage #4 PRECONDITION_FAILED", "refusal Usage limit of 'ai_credit': 120 would exceed 100"),
        ("billing.trackUsage #3 ok", "usage Used 60 of AI credits: 0 → 60 of 100"),
    ]
    for event, parts in zip(events, expected, strict=False):
        for part in parts:
            assert part in event
    clock = page.driver.execute_script(
        "return [...document.querySelectorAll('.event time')].map((one) => one.dateTime)"
    )
    assert clock == sorted(clock, reverse=True)

    acme.use(1)
    page.wait_for(lambda: "Used 1 of AI credits" in page.texts(".event")[0])
    page.find(".event button.path").click()
    page.wait_for_text(".call[open] pre", '"quantity": 1')


def test_timeline_shows_older_events(page: Page, acme: Acme) -> None:
    """Below the newest ones, and they stay when another event arrives."""
    for number in range(60):
        acme.client.links.create(company_id=acme.id, external_org_id=f"org_more_{number}")
    page.wait_for_text(".event", "Linked to org_more_59")
    assert len(page.texts(".event")) == 50
    page.find("#events-older").click()
    page.wait_for_text(".event", "Used 60 of AI credits")
    shown = len(page.texts(".event"))
    assert not page.find("#events-older").is_displayed()
    acme.use(1)
    page.wait_for(lambda: "Used 1 of AI credits" in page.texts(".event")[0])
    assert len(page.texts(".event")) == shown + 1


def test_each_feature_has_its_reason(page: Page, acme: Acme) -> None:
    """In words, with facts and remedies."""
    assert acme.id in page.driver.current_url
    reasons = page.texts(".reason")
    assert len(reasons) == 5
    for name, parts in {
        "AI credits": ("allowed", "Acme GmbH (org_acme) can use ai_credit", "1260 of 10000"),
        "Seats": ("refused", "Acme GmbH (org_acme) cannot use seats"),
        "API access": ("allowed", "can use api_access"),
        "Single sign-on": ("refused", "cannot use sso"),
    }.items():
        (text,) = [reason for reason in reasons if reason.startswith(name)]
        for part in parts:
            assert part in text
    page.driver.execute_script("for (const one of document.querySelectorAll('.reason details')) one.open = true")
    page.wait_for_text(".reason dl", "enabled")
    page.wait_for_text(".remedy pre", "sso")


def test_usage_is_a_chart_with_its_numbers(page: Page, acme: Acme) -> None:
    """Steps, the included quantity, the billable part and its price, and the same as a table."""
    page.wait_for_text(
        "#usage-figure figcaption", "AI credits: 1,260 used of 10,000; 1,000 included, 260 billable. Above the chart:"
    )
    assert page.texts(".bill") == ["260 billable \u00d7 €0.02 = €5.20, by the price of the tier Pro."]
    page.find(".numbers summary").click()
    rows = [text.partition("M ")[2] for text in page.texts(".numbers tbody tr")]
    assert rows[0] == rows[1] == "1,260 10,000 1,000 260"
    assert rows[2:] == ["60 10,000 1,000 0", "60 100 100 0", "0 100 100 0"]
    script = """
        const [svg] = document.querySelectorAll("#usage-figure .chart svg");
        const [level, band] = [svg.querySelector(".level").getBBox(), svg.querySelector(".billable").getBBox()];
        const included = svg.querySelector(".included").getBBox();
        return [svg.getAttribute("role"), svg.getAttribute("aria-label"), level.height, band.height, included.height];
    """
    role, label, level, band, included = page.driver.execute_script(script)
    assert (role, "1,260 used of 10,000" in label) == ("img", True)
    assert band / level == pytest.approx(260 / 1260, rel=0.02)
    assert included / level == pytest.approx(900 / 1260, rel=0.02)

    (subscription,) = acme.client.billing.get_status(acme.id).active_subscriptions
    acme.control("stripe.renew", subscription_id=subscription.stripe_subscription_id)
    page.wait_for_text("#usage-figure figcaption", "0 used of 10,000; 1,000 included, 0 billable; 1 new billing period")
    mark = "return document.querySelector('.chart .reset text')?.textContent"
    page.wait_for(lambda: page.driver.execute_script(mark) == "new period")
    assert page.find(".numbers").get_attribute("open")
    page.wait_for_text(".numbers td", "0 (new period)")


def test_chart_shows_another_feature(page: Page, acme: Acme) -> None:
    """A limit near the usage is drawn, one that is out of proportion is named."""
    from selenium.webdriver.support.select import Select

    acme.client.features.set_access(company_id=acme.id, feature_code="seats", quantity_limit=4)
    acme.client.billing.track_usage(company_id=acme.id, feature_code="seats", quantity=2)
    page.wait_for_text(".event", "Used 2 of Seats: 0 → 2 of 4")
    Select(page.find("#usage-feature")).select_by_visible_text("Seats")
    page.wait_for_text("#usage-figure figcaption", "Seats: 2 used of 4; 10 included, 0 billable.")
    acme.client.billing.track_usage(company_id=acme.id, feature_code="seats", quantity=1)
    page.wait_for_text("#usage-figure figcaption", "Seats: 3 used of 4")


def test_chart_draws_each_limit_near_the_usage(page: Page, acme: Acme) -> None:
    """The limit of the first tier stays in the chart when that of a later one is far above it."""
    page.wait_for_text("#usage-figure figcaption", "Above the chart: limit: 10,000.")
    assert "limit" in page.texts(".legend li")
    script = """
        const svg = document.querySelector("#usage-figure .chart svg")
        const [limit, level] = [svg.querySelector("path.limit").getBBox(), svg.querySelector(".level").getBBox()]
        return [limit.height, (level.y + level.height - limit.y) / level.height, limit.width < level.width]
    """
    height, share, is_part = page.driver.execute_script(script)
    assert (height, is_part) == (0, True)
    assert share == pytest.approx(100 / 1260, rel=0.02)
    acme.client.features.set_access(company_id=acme.id, feature_code="ai_credit", quantity_limit=2520)
    page.wait_for_text("#usage-figure figcaption", "1,260 used of 2,520")
    height, share, _ = page.driver.execute_script(script)
    assert share == pytest.approx(2, rel=0.02)
    assert height > 0


def test_tiers_are_offered_if_the_company_comes_first(page: Page, acme: Acme) -> None:
    """Its response may overtake that of the view, which has the catalogue: then its tier is chosen, with its price."""
    slow = """
        const ask = window.fetch
        window.fetch = async (url, ...rest) => {
            if (url.startsWith("/__fake__/view")) await new Promise((done) => setTimeout(done, 700))
            return ask(url, ...rest)
        }
    """
    given = {"source": slow}
    script = page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", given)["identifier"]
    try:
        page.open(f"#company={acme.id}")
        page.wait_for_text(".bill", "260 billable")
        choice = "const select = document.getElementById('company-tier'); return [select.value, select.options.length]"
        assert page.driver.execute_script(choice) == ["pro", 4]
    finally:
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": script})


def test_lists_are_not_sent_while_a_company_is_shown(page: Page, acme: Acme) -> None:
    """The view has neither companies nor Stripe then; both are up to date when the page goes back to them."""
    page.open(f"#company={acme.id}")
    page.wait_for_text(".event", "Seats: limit 25 → 0")
    sent = page.driver.execute_script(
        "return performance.getEntriesByType('resource').map((one) => decodeURIComponent(one.name))"
    )
    views = [url for url in sent if "/view?" in url]
    assert views
    assert all('"limit":0,"stripe_limit":0' in url for url in views)
    acme.client.companies.create(name="New Ltd", external_org_id="org_new")
    page.wait_for_text(".call .who", "New Ltd")
    page.find("#company-back").click()
    page.wait_for_text(".company .name", "New Ltd")
    page.wait_for_text("#subscription-list", "Acme GmbH")


def test_address_survives_reload_and_the_back_button(page: Page, acme: Acme) -> None:
    """A company has an address, by its id or by yours; back leads to the list."""
    page.driver.refresh()
    page.wait_for_text("#company-name", "Acme GmbH")
    page.driver.back()
    page.wait_for(page.find("#companies").is_displayed)
    assert not page.find("#company").is_displayed()
    page.driver.forward()
    page.wait_for_text("#company-name", "Acme GmbH")
    assert not page.find("#companies").is_displayed()
    page.find("#company-back").click()
    page.wait_for(page.find("#companies").is_displayed)
    page.open("#company=org_bolt")
    page.wait_for_text("#company-name", "Bolt Ltd")
    page.open(f"#company={acme.id}")
    page.wait_for_text("#company-name", "Acme GmbH")


def test_unknown_company_is_explained(page: Page) -> None:
    """The page says so, and shows the company as soon as there is one."""
    page.open("#company=org_late")
    page.wait_for_text("#company-missing", "No company of this product has this id")
    page.client.onboard(external_org_id="org_late", hints={"company_name": "Late Ltd"})
    page.wait_for_text("#company-name", "Late Ltd")
    assert not page.find("#company-missing").is_displayed()


def test_call_leads_to_its_company_and_back(page: Page, acme: Acme) -> None:
    """Each call has a link; the calls of a company are found by it, by path, by error and by text."""
    page.find("#company-back").click()
    acme.client.billing.get_status(acme.id)
    acme.client.tiers.list()
    page.wait_for_text(".call .path", "tiers.list")
    page.find(".call a.who").click()
    page.wait_for_text("#company-name", "Acme GmbH")

    page.find("#company-calls").click()
    page.wait_for(lambda: "tiers.list" not in page.texts(".call .path"))
    assert set(page.texts(".call .who")) == {"Acme GmbH"}
    for search, paths in {
        "PRECONDITION": ["billing.trackUsage"],
        "tiers.apply": ["tiers.apply"],
        '"quantity": 1200': ["billing.trackUsage"],
        "no such call": [],
    }.items():
        page.find("#filter").clear()
        page.find("#filter").send_keys(search)
        page.wait_for(lambda paths=paths: page.texts(".call .path") == paths)  # type: ignore[misc]


def test_calls_and_companies_have_pages(page: Page) -> None:
    """Twenty-five calls and twenty companies, newest first; a long input comes whole when it is opened."""
    with ChatarminOS(KEY, base_url=page.url) as client:
        for number in range(30):
            client.companies.create(name=f"Company {number}", external_org_id=f"org_{number}")
        page.wait_for_text(".company .name", "Company 29")
        page.wait_for(lambda: len(page.texts(".call")) == 25)
        page.find("#calls-older").click()
        page.wait_for(lambda: len(page.texts(".call")) == 6)  # the first one finds the transformer
        page.find("#calls-newest").click()
        page.wait_for(lambda: len(page.texts(".call")) == 25)
        assert page.texts("#companies-count") == ["1\u201320 of 32"]
        page.find("#companies-older").click()
        page.wait_for_text(".company .name", "Bolt Ltd")
        assert page.texts("#companies-count") == ["21\u201332 of 32"]
        page.find("#companies-newer").click()
        page.wait_for_text(".company .name", "Company 29")
        client.companies.create(name="L" * 3000, external_org_id="org_long")
    page.wait_for_text(".call .number", "32")
    page.driver.execute_script("window.scrollTo(0, 0)")
    page.find(".call summary").click()
    page.wait_for_text(".call pre", "L" * 3000)


def test_odd_searches_find_what_they_say(page: Page) -> None:
    """Characters that mean something in patterns, addresses and JSON; nothing matches by accident."""
    names = ["100% .* [Acme] (x)", "C:\\Acme & Söhne?#", "漢字 \U0001f389"]
    with ChatarminOS(KEY, base_url=page.url) as client:
        for number, name in enumerate(names):
            client.companies.create(name=name, external_org_id=f"odd_{number}")
    page.wait_for_text(".company .name", names[-1])
    for search, found in {"% .* [": [names[0]], "\\acme & s": [names[1]], "漢": [names[2]], ".*.*": []}.items():
        for field, texts in (("#search", ".company .name"), ("#filter", ".call .who")):
            script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
            page.driver.execute_script(
                script, page.find(field), search if field == "#search" else search.replace("\\", "")
            )
            page.wait_for(lambda texts=texts, found=found: page.texts(texts) == found)  # type: ignore[misc]
    assert page.texts("#calls-none") == ["No call matches, of those that the service keeps."]


def test_company_is_reached_by_keyboard(page: Page) -> None:
    """From the list to a company, to a call of its timeline, and back."""
    from selenium.webdriver.common.keys import Keys

    with ChatarminOS(KEY, base_url=page.url) as client:
        client.companies.create(name="Keys Ltd", external_org_id="org_keys")
    page.wait_for_text(".company .name", "Keys Ltd")
    page.tab_to("a.company")
    page.press(Keys.ENTER)
    page.wait_for_text("#company-name", "Keys Ltd")
    page.wait_for(lambda: page.driver.execute_script("return document.activeElement.id") == "company-name")
    page.wait_for_text(".event", "The company was created as Keys Ltd")
    page.tab_to(".event button.path")
    page.press(Keys.ENTER)
    page.wait_for_text(".call[open] pre", "org_keys")
    page.wait_for(lambda: page.driver.execute_script("return document.activeElement.matches('.call summary')"))
    page.find("#company-back").send_keys(Keys.ENTER)
    page.wait_for(lambda: page.driver.execute_script("return document.activeElement.id") == "companies-title")


def test_focus_stays_in_its_section(page: Page) -> None:
    """Also when the pressed button is gone afterwards: the next tabulator does not begin at the top of the page."""
    from selenium.webdriver.common.keys import Keys

    page.fake.stripe.add_checkout_session(PRO, complete=False)
    page.fake.stripe.add_subscription(PRO)
    for number in range(25):
        page.client.companies.create(name=f"Company {number}", external_org_id=f"org_{number}")

    def focused() -> str:
        found: str = page.driver.execute_script("return document.activeElement.id || document.activeElement.innerText")
        return found

    page.wait_for_text("#companies-count", "20 of 27")
    page.wait_for(page.find("#session-list button.primary").is_displayed)
    page.find("#companies-older").send_keys(Keys.ENTER)
    page.wait_for_text("#companies-count", "27 of 27")
    page.wait_for(lambda: focused() == "companies-title")
    page.find("#session-list button.primary").send_keys(Keys.ENTER)
    page.wait_for_text("#status", "The checkout is complete.")
    page.wait_for(lambda: focused() == "stripe-title")


def test_catalogue_has_features_tiers_and_prices(page: Page) -> None:
    """Drawn when it is opened."""
    page.find("#catalogue summary").click()
    page.wait_for_text("#catalogue li", "AI credits ai_credit counts a quantity")
    page.wait_for_text("#catalogue li", "Single sign-on sso is on or off")
    page.wait_for_text(".tier-card .row", "Pro pro €49.00 a billing period price_pro_base")
    page.wait_for_text(".tier-card li", "AI credits: limit 10,000, 1,000 included, then €0.02 each price_pro_ai_credit")
    page.wait_for_text(".tier-card li", "Seats: unlimited, 100 included, then €7.00 each")


def test_both_clocks_are_shown(page: Page, acme: Acme) -> None:
    """That of the service, by how much it was moved, and the real one; both go on without a call."""
    assert page.texts("#moved") == ["(3 days ahead)"]
    shown = page.driver.execute_script(
        "return ['now', 'real-now'].map((id) => Date.parse(document.getElementById(id).dateTime))"
    )
    assert (shown[0] - shown[1]) / 86_400_000 == pytest.approx(3, abs=0.01)
    page.wait_for(
        lambda: page.driver.execute_script("return Date.parse(document.getElementById('now').dateTime)") > shown[0]
    )
    assert acme.id


@pytest.mark.parametrize("what", ["company", "product"])
def test_export_is_the_start_of_a_test(page: Page, acme: Acme, tmp_path: Path, what: str) -> None:
    """The file, and the shown lines of Python that load it; no key is in either."""
    if what == "product":
        page.find("#company-back").click()
    given = {"behavior": "allow", "downloadPath": str(tmp_path)}
    page.driver.execute_cdp_cmd("Browser.setDownloadBehavior", given)
    page.find(f"#export-{what}").click()
    (code,) = page.driver.execute_script("return [document.getElementById('export-python').textContent]")
    name = "acme-gmbh.json" if what == "company" else "product.json"
    assert f'Path("{name}")' in code
    page.find("#export-form .primary").click()
    page.wait_for_text("#status", f"Saved {name}.")
    until((tmp_path / name).exists)
    scope: dict[str, Any] = {}
    until(lambda: _is_json(tmp_path / name))
    exec(code.replace(f'Path("{name}")', f"Path({str(tmp_path / name)!r})"), scope)  # noqa: S102 - the shown lines

    access = scope["client"].features.check(company_id=acme.id, feature_code="ai_credit")
    assert (access.current_usage, access.quantity_limit) == (1260, 10000)
    names = [company["name"] for company in scope["fake"].snapshot()["companies"]]
    assert names == (["Acme GmbH"] if what == "company" else ["Bolt Ltd", "Acme GmbH"])
    assert KEY not in (tmp_path / name).read_text(encoding="utf-8")


def _is_json(path: Path) -> bool:
    with suppress(ValueError):
        return bool(json.loads(path.read_bytes()))
    return False


def test_hostile_texts_are_shown_as_text(page: Page) -> None:
    """Names, ids, labels and codes that are HTML, in each part of the page; the policy refuses inline scripts."""
    for index, name in enumerate((HOSTILE, "plain")):
        page.fake.add_feature(f"f{index} {name}", name=name, has_quantity=True)
        page.fake.add_tier(
            f"t{index} {name}",
            name=name,
            base_fee=100,
            features={f"f{index} {name}": {"quantity_limit": 9, "unit_amount": 1, "included_quantity": 1}},
        )
    with ChatarminOS(KEY, base_url=page.url) as client:
        company = client.companies.create(name=HOSTILE, external_org_id=HOSTILE).id
        client.links.create(company_id=company, external_org_id="org_2", label=HOSTILE)
        client.tiers.apply(company_id=company, tier_code=f"t0 {HOSTILE}")
        client.billing.track_usage(company_id=company, feature_code=f"f0 {HOSTILE}", quantity=5)
        with suppress(ApiError):
            client.tiers.get(f"{HOSTILE}\u202e")
    page.wait_for_text(".call .path", "tiers.get")
    page.find(".call summary").click()
    page.wait_for_text(".call pre", "\\u202e")  # which would turn the text after it around
    page.open("#company=org_2")
    page.wait_for_text("#company-name", HOSTILE)
    page.wait_for_text(".event", f"Used 5 of {HOSTILE}")
    page.wait_for_text("#usage-figure figcaption", HOSTILE)
    page.wait_for_text(".why", "can use")
    page.find("#export-company").click()
    assert HOSTILE in page.texts("#export-what")[0]
    page.find("#export-form [data-close]").click()
    page.find("#company-back").click()
    page.find("#catalogue summary").click()
    page.wait_for_text(".tier-card", HOSTILE)
    assert page.driver.execute_script("return document.querySelectorAll('img, body script').length") == 0
    assert "owned" not in page.driver.title.replace(HOSTILE, "")
    assert page.find(".company .name").get_attribute("title") == HOSTILE
    policy = requests.get(page.root).headers["content-security-policy"]  # noqa: S113 - on this machine
    assert "unsafe" not in policy
    assert {"base-uri 'none'", "form-action 'none'"} <= set(policy.split("; "))
    names = "[...document.querySelectorAll('*')].flatMap((one) => one.getAttributeNames())"
    assert not page.driver.execute_script(f"return {names}.some((name) => name.startsWith('on'))")


def test_marks_of_direction_are_written_out(page: Page) -> None:
    """One in a name must not turn the text after it around, in no part of the page."""
    name, shown = "a\u202eb\u2066c\u200f", "a\\u202eb\\u2066c\\u200f"
    page.fake.add_feature("odd", name=name, has_quantity=True)
    page.fake.add_tier("odd", name=name, features={"odd": {"quantity_limit": 9}})
    with ChatarminOS(KEY, base_url=page.url) as client:
        company = client.companies.create(name=name, external_org_id=f"org {name}").id
        client.tiers.apply(company_id=company, tier_code="odd")
        client.billing.track_usage(company_id=company, feature_code="odd", quantity=5)
    page.wait_for_text(".call .path", "billing.trackUsage")
    page.find("#catalogue summary").click()
    page.wait_for_text(".tier-card", shown)
    page.find(".call summary").click()
    page.find("#export-product").click()
    assert not _has_marks(page)
    page.open(f"#company={company}")
    page.wait_for_text("#company-name", shown)
    page.wait_for_text(".event", ": 0 → 5 of 9")
    page.wait_for_text("#usage-figure figcaption", f"{shown}: 5 used of 9")
    page.find("#company-apply").click()
    page.wait_for_text("#status", "Applied the tier")
    page.find("#export-company").click()
    assert not _has_marks(page)


def _has_marks(page: Page) -> bool:
    script = "return /[\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]/.test(document.body.textContent)"
    return bool(page.driver.execute_script(script))


@pytest.mark.parametrize("address", ["#", "#company=org_wide"])
def test_long_names_fit_a_narrow_screen(page: Page, address: str) -> None:
    """Of companies, tiers and features, which are in selects too: the page cannot be scrolled sideways."""
    wide = "Wide " + "w" * 60
    page.fake.add_feature("wide", name=wide, has_quantity=True)
    page.fake.add_tier("wide", name=wide, base_fee=100, features={"wide": {"quantity_limit": 9}, "seats": {}})
    with ChatarminOS(KEY, base_url=page.url) as client:
        client.onboard(external_org_id="org_wide", hints={"company_name": wide}, tier_code="wide")
    with emulated(page.driver, width=400):
        page.open(address)
        page.wait_for_text(".call .path", "onboard")
        page.wait_for_text("#checkout-tier option" if address == "#" else "#usage-feature option", wide)
        page.driver.execute_script("document.getElementById('catalogue').open = true")
        page.wait_for_text("#catalogue-content" if address == "#" else ".event", wide)
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= 400


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_company_fits_the_screen_and_can_be_read(page: Page, acme: Acme, width: int, scheme: str) -> None:
    """Nothing is wider than the screen, and each text has a contrast of 4.5 or more with its ground."""
    acme.client.links.create(company_id=acme.id, external_org_id="o" * 200, label="L" * 200)
    page.wait_for_text(".event", "o" * 200)
    with emulated(page.driver, width=width, scheme=scheme):
        for address in (f"#company={acme.id}", "#"):
            page.open(address)
            page.wait_for_text(".call .path", "links.create")
            page.wait_for(page.find("#company-content" if address != "#" else "#companies").is_displayed)
            page.driver.execute_script("for (const one of document.querySelectorAll('#main details')) one.open = true")
            page.wait_for_text(".call pre", "externalOrgId")
            script = "return Math.max(document.documentElement.scrollWidth, document.body.scrollWidth)"
            page.wait_for(lambda script=script: page.driver.execute_script(script) <= width)  # type: ignore[misc]
            assert pale_texts(page.driver) == []


def test_company_of_another_product_is_not_shown(page: Page, acme: Acme) -> None:
    """The same address of another product says that it does not have the company."""
    other = FakeTransport()
    with serve_fake({"os_sk_browser_two": other, KEY: page.fake}) as url:
        root = url.removesuffix("/api/v1") + "/"
        product = requests.get(f"{root}__fake__/products").json()["result"]["data"][0]["id"]  # noqa: S113 - on this machine
        page.driver.get("about:blank")
        page.driver.get(f"{root}#product={product}&company={acme.id}")
        page.wait_for_text("#company-missing", "No company of this product")
        assert page.texts(".event") == []
        page.driver.get("about:blank")
