"""What every resource is: a view of its client."""

from __future__ import annotations

from chatarmin_os.client import ChatarminOS


class Resource:
    """The methods of one noun."""

    __slots__ = ("_send",)

    def __init__(self, client: ChatarminOS) -> None:
        self._send = client.send
