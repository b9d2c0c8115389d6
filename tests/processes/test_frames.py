"""The frames between a user's call and requests: tracebacks and profilers show them all."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import requests

import chatarmin_os
from chatarmin_os import ChatarminOS

PACKAGE = str(Path(chatarmin_os.__file__).parent)
MAX_FRAMES = 5


def test_call_reaches_requests_through_five_frames() -> None:
    """Method, client, transport, retries, exchange: each has one frame."""
    found: list[str] = []

    def answer(request: requests.PreparedRequest, **_: Any) -> requests.Response:
        frame: Any = sys._getframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                found.append(frame.f_code.co_qualname)
            frame = frame.f_back
        raise requests.ConnectionError(request.method)

    class Stopped(requests.Session):
        """A session that counts the frames above it."""

        send = staticmethod(answer)

    from chatarmin_os.transports import HTTPTransport

    with Stopped() as session:
        transport = HTTPTransport("os_sk_test", "https://os.test", session=session, max_retries=0)
        results: Any = None
        try:
            ChatarminOS(transport=transport).features.check(company_id="comp_1", feature_code="seats")
        except chatarmin_os.ConnectionFailed as error:
            results = error

    assert results is not None
    assert found == [
        "Channel.exchange",
        "Sender.send_with_retries",
        "HTTPTransport.send",
        "ChatarminOS.send",
        "Features.check",
    ]
    assert len(found) == MAX_FRAMES
