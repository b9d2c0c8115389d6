"""Headers that show their secret to whoever reads them, and to nobody who looks at them.

Error trackers, log formatters and Django's error mails write down the locals of every frame of a traceback, those of
requests, urllib3 and http.client included: with `repr`, of a mapping that of each value.
"""

from __future__ import annotations

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


class MaskedHeaders(CaseInsensitiveDict[Any]):
    """Headers of which a value may be a function without arguments: reading the header calls it and masks the result.

    What walks through the attributes of objects does not call it.

    Example:
        >>> headers = MaskedHeaders({"Accept": "text/plain", "Authorization": lambda: "Bearer os_sk_..."})
        >>> headers["authorization"] == "Bearer os_sk_...", headers
        (True, {'Accept': 'text/plain', 'Authorization': '[key]'})
    """

    def __getitem__(self, key: str) -> Any:
        value = self._store[key.lower()][1]
        return Masked(value()) if callable(value) else value

    def lower_items(self) -> Iterator[tuple[str, Any]]:
        """Yield the headers with lower-case names, as requests does to compare them."""
        return ((key, self[key]) for key in self._store)

    def copy(self) -> MaskedHeaders:
        """Return headers that can be changed by themselves."""
        other = MaskedHeaders.__new__(MaskedHeaders)
        other._store = self._store.copy()  # noqa: SLF001 - its own
        return other

    def parted(self) -> tuple[dict[str, Any], list[Callable[[], str]]]:
        """Return the headers with `MASK` in place of each secret, and what returns the secrets."""
        stored: list[tuple[str, Any]] = list(self._store.values())
        shown = {name: MASK if callable(value) else value for name, value in stored}
        secrets: list[Any] = [value for _, value in stored if callable(value)]
        return shown, secrets
