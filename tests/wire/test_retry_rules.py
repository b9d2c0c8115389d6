"""The rules of retries: after which failures, after how long, and how often in all."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from time import process_time
from typing import Any

import pytest

from chatarmin_os import ApiError, InvalidInput, InvalidResponse, RateLimitError, ServerError, TransportError
from chatarmin_os.transports import HTTPTransport
from chatarmin_os.transports.http.retry import (
    FIRST_WAIT_SECONDS,
    MAX_WAIT_SECONDS,
    Budget,
    Deadline,
    after_refusal,
    after_status,
    max_wait,
    retry_after,
)

_NOW = datetime(2026, 7, 1, 12, 30, 15, 750_000, UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        ("007", 7),
        (" 120\t", 120),
        ("1.5", 1.5),
        ("0.001", 0.001),
        ("999999999", 999_999_999),
        ("999999999.999999999", 1_000_000_000),
        ("1234567890", 1_234_567_890),
        ("20261129131721", 20_261_129_131_721),
        ("9" * 300, 1e300),
        ("9" * 400, sys.float_info.max),
        ("9" * 5000, sys.float_info.max),
        ("9" * 60_000, sys.float_info.max),
        ("0" * 5000 + "7", 7),
        ("1." + "0" * 5000, 1),
        ("0." + "0" * 5000 + "1", 0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_has_seconds(status: int, value: str, seconds: float) -> None:
    """A number of seconds of any size is that number, also with a fraction, and with white space around it."""
    reported = retry_after(status, value)

    assert reported is not None
    assert reported == pytest.approx(seconds)
    assert math.isfinite(reported)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "soon",
        "-1",
        "+1",
        "- 1",
        ".5",
        "5.",
        "1,5",
        "1e3",
        "0x10",
        "1_000",
        "nan",
        "inf",
        "-inf",
        "1 2",
        "5s",
        "1.2.3",
        "\uff15",
        "\u0665",
        "\u00b2",
        "1" * 5000 + "x",
        "-" + "9" * 5000,
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Mon, 01 Jan 0001 00:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "Fri, 31 Dec 9999 23:59:59 +99999",
        "Fri, 99999 Dec 2999 23:59:59 GMT",
        "Fri, 31 Dec 2999 23:59:99999 GMT",
        "Fri, 31 Dec 00001994 23:59:59 GMT",
        "Fri, 32 Dec 2999 23:59:59 GMT",
        "Fri, 31 Dec 2999 25:59:59 GMT",
        "Fri, 31 Foo 2999 23:59:59 GMT",
        "Fri, 31 Dec",
        "Fri",
        ",",
        "GMT",
        "2999-12-31T23:59:59Z",
        "\x00",
        "\ud800",
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_invalid_or_past_wait_is_none(status: int, value: str | None) -> None:
    """Junk, negative numbers, past and impossible dates count as no wait, and raise nothing."""
    assert retry_after(status, value) is None


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
@pytest.mark.parametrize("seconds", [2, 90, 86_400])
def test_date_is_the_seconds_until_then(zone: timezone, seconds: float) -> None:
    """A date in the future is the seconds until then, whatever its time zone."""
    moment = _NOW.astimezone(zone) + timedelta(seconds=seconds)

    reported = retry_after(503, format_datetime(moment, usegmt=zone is UTC), _NOW.timestamp)

    assert reported == pytest.approx(seconds - 0.75)  # a date of HTTP has whole seconds


def test_date_without_a_zone_is_in_utc() -> None:
    """The old form of C's `asctime`, and a zone that says nothing, are UTC."""
    moment = _NOW + timedelta(days=1)

    for text in (moment.strftime("%a %b %e %H:%M:%S %Y"), moment.strftime("%a, %d %b %Y %H:%M:%S -0000")):
        assert retry_after(429, text, _NOW.timestamp) == pytest.approx(86_399.25)


@pytest.mark.parametrize("zone", ["GMT", "-1200", "+1400"])
@pytest.mark.parametrize("year", ["9999", "10000", "99999", "275760", "9" * 5000])
def test_far_date_is_a_long_time(year: str, zone: str) -> None:
    """The last year of the calendar, and any year beyond it, are far away and still a number."""
    for text in (f"Fri, 31 Dec {year} 23:59:59 {zone}", f"Friday, 31-Dec-{year} 23:59:59 {zone}"):
        reported = retry_after(429, text)

        assert reported is not None
        assert 200_000_000_000 < reported < 300_000_000_000


@pytest.mark.parametrize("piece", ["9", "9 ", "-", "a", "12:", ",", "99999 ", "."])
def test_long_header_takes_time_in_proportion(piece: str) -> None:
    """Sixteen times the header costs about sixteen times the work."""

    def taken(size: int) -> float:
        header, times = piece * (size // len(piece)), []
        for _ in range(3):
            started = process_time()
            retry_after(429, header)
            times.append(process_time() - started)
        return min(times)

    assert taken(640_000) < 48 * max(taken(40_000), 1e-4)


@pytest.mark.parametrize("status", [200, 207, 301, 400, 408, 413, 500, 502, 504])
@pytest.mark.parametrize("value", ["5", "Fri, 31 Dec 2999 23:59:59 GMT"])
def test_only_two_statuses_have_a_retry_after(status: int, value: str) -> None:
    """Only a 429 and a 503 are asked how long to wait."""
    assert retry_after(status, value) is None


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 0.1), (2, 0.2), (3, 0.4), (4, 0.8), (5, 1.6), (6, 2), (7, 2), (100, 2), (10**6, 2), (10**30, 2)],
)
def test_waits_double_up_to_a_maximum(attempt: int, seconds: float) -> None:
    """The longest wait doubles with each attempt, from a tenth of a second to two seconds, and stays there."""
    assert max_wait(attempt) == pytest.approx(seconds)
    assert FIRST_WAIT_SECONDS <= max_wait(attempt) <= MAX_WAIT_SECONDS


# The budget


def _taken(budget: Budget) -> int:
    """Return how many repeats can be taken."""
    count = 0
    while budget.take():
        count += 1
    return count


def test_budget_has_twenty_retries() -> None:
    """It is spent one by one, and when it is spent nothing more is had."""
    budget = Budget()

    assert _taken(budget) == 20
    assert not budget.take()


@pytest.mark.parametrize(
    ("answered", "repeats"), [(0, 0), (4, 0), (6, 1), (11, 2), (51, 10), (101, 20), (102, 20), (10_000, 20)]
)
def test_answered_call_refunds_a_fifth(answered: int, repeats: int) -> None:
    """Five answered calls make a repeat, and no more are saved up than there were at first."""
    budget = Budget()
    _taken(budget)

    for _ in range(answered):
        budget.refund()

    assert _taken(budget) == repeats


def test_full_budget_does_not_grow() -> None:
    """A service that has always answered has no more repeats than one that is new."""
    budget = Budget()

    for _ in range(1000):
        budget.refund()

    assert _taken(budget) == 20


def test_budget_suffices_if_one_call_in_ten_fails() -> None:
    """Nine answers, and that of the repeat, give back more than the one failure took."""
    budget = Budget()

    for _ in range(1000):
        for _ in range(9):
            budget.refund()
        assert budget.take()
        budget.refund()


# After which failures


@pytest.mark.parametrize(
    ("status", "repeat"),
    [
        *[(status, "never") for status in (None, 0, 200, 201, 204, 207, 301, 302, 304, 400, 401, 403, 404, 405, 408)],
        *[(status, "never") for status in (409, 410, 412, 413, 415, 422, 425, 428, 431, 499, 500, 501, 505, 520, 599)],
        (429, "any"),
        (502, "safe"),
        (503, "safe"),
        (504, "safe"),
    ],
)
def test_status_decides_which_calls_are_retried(status: int | None, repeat: str) -> None:
    """After a 429 any call, after 502, 503 and 504 those that are safe to repeat, after anything else none."""
    assert after_status(status) == repeat


@pytest.mark.parametrize(
    ("code", "http_status", "repeat"),
    [
        ("TOO_MANY_REQUESTS", None, "any"),
        ("TOO_MANY_REQUESTS", 200, "any"),
        ("TOO_MANY_REQUESTS", 503, "any"),
        ("BAD_GATEWAY", None, "safe"),
        ("SERVICE_UNAVAILABLE", None, "safe"),
        ("GATEWAY_TIMEOUT", None, "safe"),
        ("SERVICE_UNAVAILABLE", 200, "safe"),
        ("BAD_GATEWAY", 500, "safe"),
        ("TEAPOT", 503, "safe"),
        ("TEAPOT", 429, "any"),
        ("TEAPOT", 500, "never"),
        ("TEAPOT", None, "never"),
        ("INTERNAL_SERVER_ERROR", None, "never"),
        ("NOT_IMPLEMENTED", None, "never"),
        ("TIMEOUT", None, "never"),
        ("CONFLICT", None, "never"),
        ("UNAUTHORIZED", None, "never"),
    ],
)
def test_refusal_decides_which_calls_are_retried(code: str, http_status: int | None, repeat: str) -> None:
    """The code counts first, and where it says nothing the status."""
    assert after_refusal(ApiError.from_code(code, http_status=http_status)) == repeat


# The deadline


@pytest.mark.parametrize("seconds", [1e-9, 0.0, -5])
def test_deadline_passes(seconds: float) -> None:
    """A deadline in the past has 0 seconds left, not less."""
    assert Deadline(seconds).remaining() == 0


@pytest.mark.parametrize("seconds", [60, 1e9, 1e300])
def test_deadline_counts_down(seconds: float) -> None:
    """The time that is left begins at the given seconds and decreases."""
    deadline = Deadline(seconds)

    first, second = deadline.remaining(), deadline.remaining()

    assert 0 < second <= first <= seconds + 1e-6


def test_error_classes_with_a_retry_after() -> None:
    """The wait of a header is an attribute of the three errors that it may come with."""
    errors: list[Any] = [
        RateLimitError("m", code="TOO_MANY_REQUESTS", retry_after=2),
        ServerError("m", code="SERVICE_UNAVAILABLE", retry_after=2),
        InvalidResponse("m", retry_after=2),
    ]

    assert [error.retry_after for error in errors] == [2, 2, 2]
    assert not hasattr(TransportError("m"), "retry_after")


@pytest.mark.parametrize("name", ["backoff", "sleep"])
def test_waits_are_functions(name: str) -> None:
    """Anything else is refused by its name when the transport is made."""
    settings: dict[str, Any] = {name: 3}

    with pytest.raises(InvalidInput, match=f"^{name}: must be a function, got int 3$"):
        HTTPTransport("os_sk_test", "https://os.test", **settings)
