"""The HTTP status of a response that is not the service's: it distinguishes an outage from a mistake."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest
import responses

from chatarmin_os import ChatarminOS, InvalidResponse
from chatarmin_os.transports import HTTPTransport

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "https://os.test/api/v1"


@pytest.fixture(autouse=True)
def mocked() -> Iterator[responses.RequestsMock]:
    """Answer every request with the responses that a test adds."""
    with responses.RequestsMock() as mock:
        yield mock


def _status(mocked: responses.RequestsMock, **reply: Any) -> int | None:
    """Return the status that a client knows of an invalid response."""
    mocked.get(f"{URL}/tiers.list", **reply)
    transport = HTTPTransport("os_sk_x", URL, max_retries=0)
    with pytest.raises(InvalidResponse) as raised:
        ChatarminOS(transport=transport).tiers.list()
    return raised.value.http_status


@pytest.mark.parametrize("status", [200, 207, 403, 404, 500, 502, 503])
@pytest.mark.parametrize("body", ["<html>", "", "{", "[]", "5", "null", '{"tiers": []}', '{"error": "down"}'])
def test_response_without_envelope_keeps_its_status(mocked: responses.RequestsMock, status: int, body: str) -> None:
    """A page, broken JSON and JSON of another kind have the status of their response, well-formed or not."""
    assert _status(mocked, status=status, body=body) == status


@pytest.mark.parametrize("data", [{}, None, [{"code": 5}], [{"name": "Free"}]])
def test_result_of_a_wrong_type_keeps_its_status(mocked: responses.RequestsMock, data: Any) -> None:
    """A result with a value of the wrong type is well-formed, and has the status of a result."""
    assert _status(mocked, json={"result": {"data": data}}) == 200


def test_redirect_keeps_its_status(mocked: responses.RequestsMock) -> None:
    """A redirect, which is not followed, has its own status."""
    assert _status(mocked, status=307, headers={"Location": "https://elsewhere.test/"}) == 307


def test_undecodable_body_keeps_its_status(mocked: responses.RequestsMock) -> None:
    """A response whose head arrived has its status, whatever becomes of its body."""
    garbled = b"\x00" + gzip.compress(b"{}")

    assert _status(mocked, status=502, body=garbled, headers={"Content-Encoding": "gzip"}) == 502
