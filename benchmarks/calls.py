"""Calls per second on the fake, compared with the usual way to test without a network: `requests` under `responses`.

Tests against this client use the fake instead of a mocked session; the fake may do more for the answer (it
computes it, and the client checks it and makes a model of it), but must not make the tests slower.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import requests
from responses import GET, POST, RequestsMock

from benchmarks._measure import Part, Row, cpu_seconds, interleaved, micro, number
from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import Call

if TYPE_CHECKING:
    from collections.abc import Callable

_URL = "https://os.chatarmin.com/api/v1/features.check"
_HEADERS = {"Authorization": "Bearer os_sk_benchmark"}
_TIMEOUT = 10
_ROUNDS = 40
_MIN_FASTER, _MAX_MICROSECONDS = 20, 20


def run() -> Part:
    """Measure single calls."""
    answer = {"result": {"data": _checked_on_the_wire()}}
    with RequestsMock(assert_all_requests_are_fired=False) as mock, requests.Session() as session:
        mock.add(GET, _URL, json=answer)
        mock.add(POST, _URL, json=answer)
        asked = {"companyId": "b0f1c2d3-0000-4000-8000-000000000001", "featureCode": "ai_credit"}

        def get() -> Any:
            given = {"input": json.dumps(asked)}
            return session.get(_URL, params=given, headers=_HEADERS, timeout=_TIMEOUT).json()["result"]["data"]

        def post() -> Any:
            return session.post(_URL, json=asked, headers=_HEADERS, timeout=_TIMEOUT).json()["result"]["data"]

        samples = interleaved(
            {
                "check": lambda: _on_a_new_fake(_check, 500),
                "track": lambda: _on_a_new_fake(_track, 500),
                "onboard": lambda: _on_a_new_fake(_onboard, 500),
                "get": lambda: _mocked(get, mock, 50),
                "post": lambda: _mocked(post, mock, 50),
            },
            rounds=_ROUNDS,
        )

    def called(what: str, subject: str, bar: str = "", *, met: bool | None = None) -> Row:
        taken = samples.median(subject)
        return Row(what, f"{number(1 / taken)} calls/s, {micro(taken)}", "", bar, met)

    def compare(verb: str) -> Row:
        ratio = samples.ratio(verb, "check")
        what = f"`Session().{verb}(…).json()` under `responses`, as ratio to `features.check`"
        figure = f"{number(1 / samples.median(verb))} calls/s, {micro(samples.median(verb))}"
        return Row(what, figure, number(ratio), f"≥ {_MIN_FASTER}", ratio >= _MIN_FASTER)

    cheap = samples.median("check") * 1e6 <= _MAX_MICROSECONDS
    return Part(
        "Calls",
        "Process time of one call through the typed client on the fake, and of the same answer through `requests`.",
        [
            called("`features.check`", "check", f"≤ {_MAX_MICROSECONDS} µs", met=cheap),
            called("`billing.track_usage`, a new event each", "track"),
            called("`onboard`, a new company with a tier each", "onboard"),
            compare("get"),
            compare("post"),
        ],
    )


def _checked_on_the_wire() -> Any:
    """Return the service's answer to `features.check`."""
    fake = FakeTransport(demo_catalogue())
    company = ChatarminOS(transport=fake).onboard(external_org_id="org", tier_code="enterprise").company_id
    return fake.send(Call("features.check", "query", {"companyId": company, "featureCode": "ai_credit"}))


def _mocked(call: Callable[[], Any], mock: RequestsMock, times: int) -> float:
    """Return the seconds of one call; the mock keeps every call, so those of the last round are dropped."""
    mock.calls.reset()
    return _repeated(lambda _: call(), times)


def _on_a_new_fake(of: Callable[[ChatarminOS, str], Callable[[int], object]], times: int) -> float:
    """Return the seconds of one call on a fake that has just one company, so that every round is alike."""
    client = ChatarminOS.in_memory()
    company = client.onboard(external_org_id="org", tier_code="enterprise").company_id
    return _repeated(of(client, company), times)


def _repeated(call: Callable[[int], object], times: int) -> float:
    def repeat() -> None:
        for number_of_call in range(times):
            call(number_of_call)

    return cpu_seconds(repeat) / times


def _check(client: ChatarminOS, company: str) -> Callable[[int], object]:
    check = client.features.check
    return lambda _: check(company_id=company, feature_code="ai_credit")


def _track(client: ChatarminOS, company: str) -> Callable[[int], object]:
    track = client.billing.track_usage
    return lambda _: track(company_id=company, feature_code="ai_credit", quantity=1)


def _onboard(client: ChatarminOS, _: str) -> Callable[[int], object]:
    onboard = client.onboard
    return lambda order: onboard(
        external_org_id=f"org_{order}", hints={"company_name": f"Company {order}"}, tier_code="free"
    )
