"""The first paint of the page of a large product, compared with that of a small one, in headless Chromium."""

from __future__ import annotations

import json
import sys
import threading
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from benchmarks._measure import Part, Row, Samples, interleaved, number, within_limit
from chatarmin_os import ChatarminOS
from chatarmin_os.server import FakeService, Server
from chatarmin_os.transports import FunctionTransport

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from browsing import running_chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.server.product import Product
    from chatarmin_os.transports import Call

_SMALL, _LARGE = 10, 10_000  # companies
_CALLS = 10  # of each company
_ROUNDS, _POLLS = 15, 20
_MAX_BYTES = 2 * 2**20
_PRICES = ("price_pro_base", "price_pro_ai_credit", "price_pro_seats")

_PAINTED = """
const [selector, end] = arguments;
const wait = () => {
  const [first] = performance.getEntriesByName("first-contentful-paint");
  if (!first || !document.querySelector(selector)) return setTimeout(wait, 1);
  // The frame with the data has been painted when the one after the next begins.
  requestAnimationFrame(() => requestAnimationFrame((now) => {
    const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
    end([first.startTime, now, entries.reduce((sum, entry) => sum + entry.transferSize, 0)]);
  }));
};
wait();
"""


def run() -> Part:
    """Measure and return the table."""
    service = FakeService()
    products = {name: service.products.create(f"os_sk_{name}") for name in ("small", "large")}
    _fill(products["large"], _LARGE)  # first, as the log of all products drops its oldest calls
    _fill(products["small"], _SMALL)
    server = Server(service)
    thread = threading.Thread(target=server.run)
    thread.start()
    root = server.url.removesuffix("/api/v1")
    try:
        return Part(
            "Page",
            f"The page of a product with {_LARGE:,} companies and {_LARGE * _CALLS:,} calls, compared with that of one "
            f"with {_SMALL} and {_SMALL * _CALLS}; loaded in turns by one headless Chromium without its cache, by the "
            "clock of the browser. Data: until the companies, or the timeline of a company, are painted. A poll is the "
            "request that the open page makes each second, if nothing is new.",
            [*_painted(products, root), *_asked(products, root)],
        )
    finally:
        server.stop()
        thread.join()


def _fill(product: Product, companies: int) -> None:
    """Make ten calls for each company: a sign-up, a subscription, usage, refusals."""

    def answer(call: Call) -> JSON:
        return product.answer(call.path, call.kind, call.input)

    client = ChatarminOS(transport=FunctionTransport(answer))
    for index in range(companies):
        subscription = product.fake.stripe.add_subscription(_PRICES)
        company = client.onboard(
            external_org_id=f"org_{index}",
            hints={"company_name": f"Company {index}"},
            contact_email=f"ann@company{index}.example",
            stripe_subscription_id=subscription,
            tier_code="pro",
        ).company_id
        for _ in range(_CALLS - 2):
            client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=200)
        client.features.check(company_id=company, feature_code="sso")


def _painted(products: dict[str, Product], root: str) -> Iterator[Row]:
    """Load the list of companies and one company of both products."""
    sent: list[float] = []
    first: dict[str, list[float]] = {}
    with running_chromium() as driver:
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})

        last = {"small": f"org_{_SMALL - 1}", "large": f"org_{_LARGE - 1}"}

        def load(name: str, view: str) -> float:
            driver.get("about:blank")
            driver.get(f"{root}/#product={products[name].id}{f'&company={last[name]}' if view == 'company' else ''}")
            selector = "a.company" if view == "list" else "#event-list li"
            painted, data, size = driver.execute_async_script(_PAINTED, selector)
            first.setdefault(f"{name} {view}", []).append(painted)
            sent.append(size)
            return float(data)

        subjects = {f"{name} {view}": partial(load, name, view) for name in products for view in ("list", "company")}
        samples = interleaved(subjects, rounds=_ROUNDS)
    paints = Samples({subject: figures[1:] for subject, figures in first.items()})  # the first round warms up
    for view, what in (("list", "the companies"), ("company", "a company")):
        for found, kind in ((paints, "first paint"), (samples, "data")):
            large, small = f"large {view}", f"small {view}"
            figure = f"{found.median(large):.0f} ms ({found.median(small):.0f} ms)"
            yield within_limit(1.5, found.ratio(large, small), what=f"{what}: {kind}", figure=figure)
    yield Row("bytes sent for a page, the most", f"{max(sent) / 1024:.0f} KiB", "", "≤ 2 MiB", max(sent) <= _MAX_BYTES)


def _asked(products: dict[str, Product], root: str) -> Iterator[Row]:
    """Make the requests of the page without a browser."""
    connection = HTTPConnection(urlsplit(root).netloc)

    def ask(name: str, query: str, **given: object) -> Any:
        target = f"/__fake__/{query}?input={quote(json.dumps(given))}"
        connection.request("GET", target, headers={"x-fake-product": products[name].id})
        return json.loads(connection.getresponse().read())["result"]["data"]

    def timed(name: str, query: str, **given: object) -> float:
        start = perf_counter()
        for _ in range(_POLLS):
            ask(name, query, **given)
        return (perf_counter() - start) / _POLLS

    versions = {name: ask(name, "view")["version"] for name in products}
    page: dict[str, object] = {"limit": 20, "call_limit": 25}
    requests: dict[str, dict[str, object]] = {
        "a poll": {},
        "a search of companies": {**page, "search": "company 7"},
        "a search of calls": {**page, "call_search": "org_7"},
        "a page of both": page,
    }
    for what, given in requests.items():
        subjects = {
            name: partial(timed, name, "view", **({"since": versions[name]} if what == "a poll" else given))
            for name in products
        }
        samples = interleaved(subjects, rounds=_ROUNDS)
        ratio = samples.ratio("large", "small")
        figure = f"{samples.median('large') * 1000:.2f} ms ({samples.median('small') * 1000:.2f} ms)"
        if what == "a poll":
            yield within_limit(1.5, ratio, what=what, figure=figure)
        else:
            yield Row(what, figure, number(ratio))
    connection.close()
