"""Responses of a service built with tRPC, zod, superjson and PostgreSQL, recorded in `stack_answers.json`."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

import pytest
import responses

import chatarmin_os
from chatarmin_os import (
    BadRequestError,
    ChatarminError,
    ChatarminOS,
    GetByProductLinkInput,
    ListTiersInput,
    TierSummary,
    TrackUsageInput,
    UsageResult,
)
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from requests import PreparedRequest

Mock: TypeAlias = responses.RequestsMock
Answer: TypeAlias = tuple[int, dict[str, str], str]

BASE_URL = "https://os.test/api/v1"
ANY_URL = re.compile(re.escape(BASE_URL))
VECTORS: dict[str, Any] = json.loads(Path(__file__).with_name("stack_answers.json").read_text(encoding="utf-8"))
SAMPLES = {sample["id"]: sample for sample in VECTORS["samples"]}
LIMITS = {limit["id"]: limit for limit in VECTORS["limits"]}
LAST_INSTANT = datetime.max.replace(tzinfo=UTC)
COMPANY = "00000000-0000-4000-8000-000000000001"


@pytest.fixture(autouse=True)
def mocked() -> Iterator[Mock]:
    """Answer every request of this module with the responses that the test adds."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def _client(transformer: Literal["json", "superjson"] = "json", max_retries: int = 2) -> ChatarminOS:
    transport = HTTPTransport("os_sk_key", BASE_URL, transformer=transformer, max_retries=max_retries)
    return ChatarminOS(transport=transport)


def _requests(sample: dict[str, Any]) -> list[Any]:
    return [getattr(chatarmin_os, call["request"])(**call["arguments"]) for call in sample["calls"]]


def _answers(sample: dict[str, Any], client: ChatarminOS) -> list[Any]:
    """Return the result or error of each call of a sample."""
    requests = _requests(sample)
    if sample["batch"]:
        return client.batch(requests)
    (request,) = requests
    try:
        return [client.send(request)]
    except ChatarminError as error:
        return [error]


def _at(value: Any, path: str) -> Any:
    """Return the value at a dotted path of attributes, keys and indices."""
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else getattr(value, step)
    return value


def _check_result(result: Any, expected: dict[str, Any]) -> None:
    for path, value in expected.items():
        found = _at(result, path)
        if isinstance(found, datetime):
            assert found.utcoffset() == UTC.utcoffset(None), path
            found = "last" if found == LAST_INSTANT else found.isoformat()
        assert (type(found), found) == (type(value), value), path


def _check_error(error: Any, expected: dict[str, Any]) -> None:
    text = f"{error} {error!r}"
    assert type(error).__name__ == expected["error"], text
    for name in ("code", "http_status", "retry_after"):
        if name in expected:
            assert getattr(error, name) == expected[name], name
    if "issues" in expected:
        assert [list(issue) for issue in error.issues] == expected["issues"]
    if "retry_after_at_least" in expected:
        assert error.retry_after >= expected["retry_after_at_least"]
    assert all(part in text for part in expected.get("shows", []))
    assert not [part for part in expected.get("hides", []) if part in str(error)]


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=[name.replace("/", "-") for name in SAMPLES])
def test_response_of_a_gateway_is_classified(mocked: Mock, sample: dict[str, Any]) -> None:
    """Each call of a request gets the value that the service meant, or the error with its message."""
    headers = {name: value for name, value in sample["headers"].items() if name != "content-type"}
    mocked.add(
        responses.POST if _requests(sample)[0].kind == "mutation" else responses.GET,
        ANY_URL,
        sample["body"].encode(),
        status=sample["status"],
        headers=headers,
        content_type=sample["headers"]["content-type"],
    )

    answers = _answers(sample, _client(sample["stack"]["transformer"], max_retries=0))

    assert len(answers) == len(sample["expect"])
    for answer, expected in zip(answers, sample["expect"], strict=True):
        if expected is None:
            assert answer is None
        elif "error" in expected:
            _check_error(answer, expected)
        else:
            assert not isinstance(answer, ChatarminError), answer
            _check_result(answer, expected)


LONG_WAITS = [id_ for id_ in SAMPLES if "retry-after-of-ten-digits" in id_ or "retry-after-date" in id_]


@pytest.mark.parametrize("id_", LONG_WAITS)
def test_wait_beyond_the_deadline_is_skipped(mocked: Mock, id_: str) -> None:
    """A call that may be repeated is not, if the service asks for more time than the call has."""
    sample = SAMPLES[id_]
    mocked.add(responses.GET, ANY_URL, sample["body"], status=sample["status"], headers=sample["headers"])

    (error,) = _answers(sample, _client(sample["stack"]["transformer"]))

    _check_error(error, sample["expect"][0])
    assert len(mocked.calls) == 1


# Requests that are too long


def _is_over(limit: dict[str, Any], request: PreparedRequest) -> bool:
    ((measure, maximum),) = limit["over"].items()
    url = urlsplit(request.url or "")
    lengths = {
        "path": len(url.path) - len(urlsplit(BASE_URL).path) - 1,
        "target": len(url.path) + len(url.query),
        "body": int(request.headers.get("content-length", "0")),
    }
    return lengths[measure] > int(maximum)


def _serve(mocked: Mock, limit: dict[str, Any], data: Any) -> Callable[[], list[int]]:
    """Answer each call with *data*, or as recorded beyond a limit; return a function that takes the statuses so far."""
    statuses: list[int] = []

    def answer(request: PreparedRequest) -> Answer:
        url = urlsplit(request.url or "")
        count = url.path.count(",") + 1
        if _is_over(limit, request):
            status, headers, body = limit["status"], limit["headers"], limit["body"]
            if body.startswith("["):
                body = json.dumps(json.loads(body)[:1] * count)
        else:
            status, headers = 200, {"content-type": "application/json"}
            envelopes = [{"result": {"data": data}}] * count
            body = json.dumps(envelopes if "batch=1" in url.query else envelopes[0])
        statuses.append(status)
        return status, headers, body

    for method in (responses.GET, responses.POST):
        mocked.add_callback(method, ANY_URL, answer, content_type=None)
    return lambda: [statuses.pop(0) for _ in range(len(statuses))]


@pytest.mark.parametrize(
    "limit",
    [limit for limit in LIMITS.values() if "path" in limit["over"]],
    ids=lambda limit: limit["id"].replace(".", "-"),
)
def test_batch_whose_path_is_too_long_is_halved(mocked: Mock, limit: dict[str, Any]) -> None:
    """Each call gets its answer however long a path the service reads, and the next batch is not too long again."""
    take_statuses = _serve(mocked, limit, [{"code": "free", "name": "Free"}])
    client = _client()

    first = client.batch([ListTiersInput()] * 40)
    assert first == [[TierSummary(code="free", name="Free")]] * 40
    assert limit["status"] in take_statuses()

    assert client.batch([ListTiersInput()] * 40) == first
    assert set(take_statuses()) == {200}


@pytest.mark.parametrize(
    "limit",
    [limit for limit in LIMITS.values() if "body" in limit["over"]],
    ids=lambda limit: limit["id"].replace(".", "-"),
)
def test_batch_whose_body_is_too_large_is_halved(mocked: Mock, limit: dict[str, Any]) -> None:
    """Each call gets its answer however much the service reads: a refused body ran nothing."""
    take_statuses = _serve(mocked, limit, {"currentUsage": 1})
    note = "x" * (limit["over"]["body"] // 5)

    answers = _client().batch(
        [
            TrackUsageInput(company_id=COMPANY, feature_code="seats", quantity=1, metadata={"note": note})
            for _ in range(16)
        ]
    )

    assert answers == [UsageResult(current_usage=1)] * 16
    assert limit["status"] in take_statuses()


@pytest.mark.parametrize(
    "limit",
    [limit for limit in LIMITS.values() if "path" not in limit["over"] and "by" not in limit],
    ids=lambda limit: limit["id"].replace(".", "-"),
)
def test_too_large_call_reports_its_size(mocked: Mock, limit: dict[str, Any]) -> None:
    """A single call beyond a limit is refused once, with how large it was."""
    take_statuses = _serve(mocked, limit, None)
    ((measure, maximum),) = limit["over"].items()
    text = "x" * (maximum + 1000)
    request: Any = (
        GetByProductLinkInput(external_org_id=text)
        if measure == "target"
        else TrackUsageInput(company_id=COMPANY, feature_code="seats", quantity=1, metadata={"note": text})
    )

    with pytest.raises(ChatarminError, match=r"too (large|long)") as caught:
        _client().send(request)

    sizes = [int(number.replace(",", "")) for number in re.findall(r"[0-9][0-9,]{3,}", str(caught.value))]
    assert any(maximum < size < maximum + 2000 for size in sizes), str(caught.value)
    assert take_statuses() == [limit["status"]]


# Inputs of zod


def _company(client: ChatarminOS) -> str:
    return client.companies.create(name="Acme Inc", external_org_id="org_1").id


PLACES: dict[str, Callable[[ChatarminOS, str], Any]] = {
    "contacts.create": lambda client, address: client.contacts.create(company_id=_company(client), email=address),
    "contacts.bulkUpsert": lambda client, address: client.contacts.bulk_upsert(
        company_id=_company(client), contacts=[{"email": address}]
    ),
    "companies.create": lambda client, address: client.companies.create(
        name="Acme Inc", external_org_id="org_1", contact_email=address
    ),
    "companies.smartLink": lambda client, address: client.companies.smart_link(
        external_org_id="org_1", hints={"emails": [address]}
    ),
    "onboard": lambda client, address: client.onboard(external_org_id="org_1", contact_email=address),
}


def _is_refused(action: Callable[[ChatarminOS, str], Any], text: str) -> bool:
    try:
        action(ChatarminOS.in_memory(), text)
    except BadRequestError:
        return True
    return False


@pytest.mark.parametrize("place", PLACES)
def test_fake_accepts_the_same_email_addresses_as_zod(place: str) -> None:
    """The fake refuses an e-mail address exactly where a service that validates with zod refuses it."""
    refused = [text for text, _ in VECTORS["addresses"] if _is_refused(PLACES[place], text)]

    assert refused == [text for text, is_taken in VECTORS["addresses"] if not is_taken]


def test_fake_accepts_the_same_urls_as_zod() -> None:
    """The fake refuses an avatar's URL exactly where a service that validates with zod refuses it."""

    def create(client: ChatarminOS, url: str) -> object:
        return client.contacts.create(company_id=_company(client), email="ann@acme.com", avatar_url=url)

    refused = [text for text, _ in VECTORS["urls"] if _is_refused(create, text)]

    assert refused == [text for text, is_taken in VECTORS["urls"] if not is_taken]
