"""The base class of resources."""

from __future__ import annotations

from chatarmin_os._request import Sender


class Resource:
    """The methods of one noun; they send requests through a client."""

    __slots__ = ("_send",)

    def __init__(self, client: Sender) -> None:
        self._send = client.send
