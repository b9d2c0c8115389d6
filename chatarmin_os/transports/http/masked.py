"""Headers that return their secret to readers, and do not show it.

Error trackers, log formatters and Django's error mails write down the locals of every frame of a traceback, those of
requests, urllib3 and http.client included: with `repr`, of a mapping that of each value.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, SupportsIndex

from requests.structures import CaseInsensitiveDict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MASK = "[key]"


class Masked(str):
    """Text whose `repr` hides it; hooks, mocks and instrumentation that read the header get the text itself.

    Example:
        >>> {"Authorization": Masked("Bearer os_sk_...")}
        {'Authorization': '[key]'}
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(MASK)

    def __getitem__(self, index: SupportsIndex | slice) -> Masked:
        return Masked(super().__getitem__(index))  # a formatter that shortens long text shows the repr of a slice


class MaskedHeaders(MutableMapping[str, Any]):
    """Headers of which a value may be a function without arguments: reading the header calls it and masks the result.

    Debuggers and trackers that walk through attributes do not call it.

    Example:
        >>> headers = MaskedHeaders({"Accept": "text/plain", "Authorization": lambda: "Bearer os_sk_..."})
        >>> headers["authorization"] == "Bearer os_sk_...", headers
        (True, {'Accept': 'text/plain', 'Authorization': '[key]'})
    """

    __slots__ = ("_items",)

    def __init__(self, headers: Mapping[str, Any]) -> None:
        self._items = {name.lower(): (name, value) for name, value in headers.items()}

    def __getitem__(self, name: str) -> Any:
        value = self._items[name.lower()][1]
        return Masked(value()) if callable(value) else value

    def __setitem__(self, name: str, value: Any) -> None:
        self._items[name.lower()] = name, value

    def __delitem__(self, name: str) -> None:
        del self._items[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and CaseInsensitiveDict(self) == CaseInsensitiveDict(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(dict(self))

    def copy(self) -> MaskedHeaders:
        """Return headers that change on their own."""
        other = MaskedHeaders.__new__(MaskedHeaders)
        other._items = self._items.copy()  # noqa: SLF001 - its own
        return other

    __copy__ = copy

    def split(self) -> tuple[dict[str, Any], list[Callable[[], Any]]]:
        """Return the headers with `MASK` in place of each secret, and the functions that return the secrets."""
        items = list(self._items.values())
        shown = {name: MASK if callable(value) else value for name, value in items}
        return shown, [value for _, value in items if callable(value)]


def unmask(headers: Mapping[str, Any]) -> CaseInsensitiveDict[Any]:
    """Return the headers as plain text, for libraries that write them to a file by their type."""
    return CaseInsensitiveDict(
        {name: str(value) if isinstance(value, Masked) else value for name, value in headers.items()}
    )
