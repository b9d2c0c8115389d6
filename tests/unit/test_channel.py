"""The channel in a child process, without a fork: real forks are in the tests of processes."""

from __future__ import annotations

from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from chatarmin_os.transports import HTTPTransport

KEY = "os_sk_9f8e7d6c5b4a"
URL = "https://os.example.com/api/v1"


class CountingAdapter(BaseAdapter):
    """An adapter without a class of requests, except the interface."""

    closed = 0

    def send(self, *_: Any, **__: Any) -> Any:
        """Send nothing."""

    def close(self) -> None:
        """Count."""
        self.closed += 1


def _channel_after_fork(transport: HTTPTransport) -> Any:
    """Return the channel of a transport as a child process finds it."""
    channel: Any = transport._channel
    channel._process = -1
    return channel


def test_child_process_makes_another_session() -> None:
    """The child neither uses nor closes the parent's session."""
    channel = _channel_after_fork(HTTPTransport(KEY, URL))
    of_parent = channel._session

    channel.close()

    assert channel._session is of_parent
    assert channel._session_of_this_process() is not of_parent
    assert channel._session_of_this_process() is channel._session


def test_users_session_gets_new_connections_in_a_child_process() -> None:
    """Session and adapters stay the same; connections and cookies are new, and adapters of other classes are closed."""
    session, adapter, other = requests.Session(), HTTPAdapter(), CountingAdapter()
    session.cookies.set("a", "b")
    session.mount("https://", adapter)
    session.mount("own://", other)
    jar, pools = session.cookies, adapter.poolmanager
    channel = _channel_after_fork(HTTPTransport(KEY, URL, session=session))

    assert channel._session_of_this_process() is session
    assert session.adapters["https://"] is adapter
    assert adapter.poolmanager is not pools
    assert session.cookies is not jar
    assert session.cookies.get_dict() == {"a": "b"}
    assert other.closed == 1
