"""What carries a request, where only a child process would see it: forks themselves are in the tests of processes."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from chatarmin_os.transports import HTTPTransport

KEY = "os_sk_9f8e7d6c5b4a"
URL = "https://os.example.com/api/v1"


class Own(BaseAdapter):
    """An adapter that has nothing of requests' own."""

    closed = 0

    def send(self, *_: Any, **__: Any) -> Any:
        """Send nothing."""

    def close(self) -> None:
        """Count."""
        self.closed += 1


def _forked(transport: HTTPTransport) -> Any:
    """Return the part that carries requests as it finds itself in a child process."""
    courier: Any = transport._courier
    courier._process = -1
    return courier


def test_a_child_process_has_a_session_of_its_own() -> None:
    """The parent's is not used, nor closed by the child."""
    courier = _forked(HTTPTransport(KEY, URL))
    parents = courier._session

    courier.close()

    assert courier._session is parents
    assert courier._session_of_this_process() is not parents
    assert courier._session_of_this_process() is courier._session


def test_a_session_of_the_users_own_begins_anew_in_a_child_process() -> None:
    """Session and adapters stay the same; connections and the jar are new, and what else it has is closed."""
    session, adapter, own = requests.Session(), HTTPAdapter(), Own()
    session.cookies.set("a", "b")
    session.mount("https://", adapter)
    session.mount("own://", own)
    jar, pools = session.cookies, adapter.poolmanager
    courier = _forked(HTTPTransport(KEY, URL, session=session))

    assert courier._session_of_this_process() is session
    assert session.adapters["https://"] is adapter
    assert adapter.poolmanager is not pools
    assert session.cookies is not jar
    assert session.cookies.get_dict() == {"a": "b"}
    assert own.closed == 1
