"""A denial over HTTP: its status, its headers, and whether its body is JSON or a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from cases import check_each

from chatarmin_os import ApiError, ConnectionFailed, FeatureAccess
from chatarmin_os.gate import Decision
from chatarmin_os.web.denial import TEMPLATE, TEMPLATES, denial_of, prefers_page

if TYPE_CHECKING:
    from chatarmin_os.gate.decision import Reason

DENIED = Decision(
    allowed=False,
    reason="disabled",
    source="live",
    feature_code="exports",
    external_org_id="org_1",
    company_id="company_1",
    access=FeatureAccess(is_enabled=False, can_use=False, current_usage=7, quantity_limit=5.5),
)


@pytest.mark.parametrize(
    ("reason", "status"), [("disabled", 403), ("not_linked", 403), ("limit_reached", 402), ("outage", 503)]
)
def test_reason_decides_the_status(reason: Reason, status: int) -> None:
    """Each reason has its status, and an outage says when to try again."""
    denial = denial_of(evolve(DENIED, reason=reason), None)

    assert denial.status == status
    assert ("Retry-After" in denial.headers) is (reason == "outage")
    assert denial.headers["Vary"] == "Accept"
    assert denial.context == {"decision": evolve(DENIED, reason=reason), "feature": "exports", "reason": reason}


def test_body_has_exactly_the_documented_keys() -> None:
    """The body has no id of the service and no text of an error, and numbers are numbers."""
    failed = evolve(DENIED, reason="limit_reached", error=ConnectionFailed("could not reach 10.0.0.1"))

    assert denial_of(failed, "application/json").body == {
        "error": "feature_denied",
        "feature": "exports",
        "reason": "limit_reached",
        "limit": 5.5,
        "current_usage": 7,
    }


def test_body_of_an_unknown_access_has_no_numbers() -> None:
    """Without an access limit and usage are null."""
    body = denial_of(evolve(DENIED, reason="outage", access=None), None).body

    assert (body["limit"], body["current_usage"]) == (None, None)


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (None, "30"),
        (ConnectionFailed("lost"), "30"),
        (ApiError.from_code("TOO_MANY_REQUESTS", retry_after=7.2), "8"),
        (ApiError.from_code("TOO_MANY_REQUESTS", retry_after=0), "1"),
        (ApiError.from_code("SERVICE_UNAVAILABLE", retry_after=1e9), "300"),
    ],
    ids=["none", "silent", "fraction", "zero", "huge"],
)
def test_outage_says_when_to_try_again(error: Any, seconds: str) -> None:
    """Retry-After is that of the service, in whole seconds from 1 to 300, else 30."""
    assert denial_of(evolve(DENIED, reason="outage", error=error), None).headers["Retry-After"] == seconds


JSON = """
*/*
*/*;q=0.1
*
application/json
APPLICATION/JSON;Q=0.9, text/html;q=0.8
application/json, */*
application/json, text/plain, */*
application/json;charset=utf-8
application/json;indent=4, text/html
application/json;x="a,b;q=0", text/html;q=0.5
text/html;q=0.9, application/json
text/*, application/json
text/*;q=0.5, text/html;q=0.2, application/json;q=0.3
text/html;q=0, */*
text/html;q=0
text/html;q=0.000, application/json;q=0.001
text/html;q=x, application/json;q=0.1
text/html;q=-1, application/json;q=0.1
text/html;q=., application/json;q=0.1
,,
""".strip().splitlines()

PAGE = """
text/html
TEXT/HTML
text/html, application/json
application/json, text/html
text/html, application/json;q=0.9
text/html, */*
text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8
application/*, text/html
application/*;q=0.8, text/*;q=0.8
application/json;q=0, */*
application/json;q=0
application/json;q=0.3, application/*, text/html;q=0.5
application/json;q=0, text/html;q=0
text/html;level=1
image/*, */*;q=0.8
image/png
text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2
text/html;q=7, application/json;q=1
application/json;q=7, text/html
text/html;x="unclosed, application/json
""".strip().splitlines()


def test_json_needs_the_higher_rank() -> None:
    """JSON is sent if it ranks above HTML, also by being named more specifically, and if anything is accepted."""
    check_each(JSON, lambda accept: _is(prefers_page(accept), expected=False))
    check_each(["", None], lambda accept: _is(prefers_page(accept), expected=False))


def test_page_is_sent_otherwise() -> None:
    """The page is sent if HTML ranks as high or higher."""
    check_each(PAGE, lambda accept: _is(prefers_page(accept), expected=True))


def _is(found: bool, *, expected: bool) -> None:  # noqa: FBT001 - what was found
    assert found is expected


def test_long_header_takes_no_time() -> None:
    """A header made to be slow is read up to a bound."""
    assert prefers_page("text/html," + '\\"' * 100_000)


def test_page_uses_no_foreign_resource() -> None:
    """The page loads nothing, and has the language, a viewport and both colour schemes."""
    text = (TEMPLATES / TEMPLATE).read_text(encoding="utf-8")

    assert "//" not in text.replace("<!doctype html>", "")
    assert "<script" not in text
    assert 'lang="en"' in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
