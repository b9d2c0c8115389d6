"""Usage that is not counted yet: an outbox holds it."""

from __future__ import annotations

from collections.abc import Iterable, KeysView

from attrs import frozen

from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.usage import plus
from chatarmin_os.models._base import Quantity

_MAX_SECONDS = 60.0


@frozen
class _Usage:
    key: Key
    feature: str
    quantity: Quantity
    until: float


class ExpectedUsage:
    """Usage by its idempotency key, for at most a minute. Its owner has a lock."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Usage] = {}
        self._names: dict[str, dict[Key, dict[str, None]]] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, key: Key, feature: str, quantity: Quantity, name: str, now: float) -> None:
        """Subtract usage of that idempotency key from now on."""
        self._drop_old(now)
        self.remove(name)
        self._by_name[name] = _Usage(key, feature, quantity, now + _MAX_SECONDS)
        self._names.setdefault(feature, {}).setdefault(key, {})[name] = None

    def remove(self, name: str) -> None:
        """Subtract it no longer."""
        usage = self._by_name.pop(name, None)
        if usage is None:
            return
        keys = self._names[usage.feature]
        names = keys[usage.key]
        del names[name]
        if not names:
            del keys[usage.key]
        if not keys:
            del self._names[usage.feature]

    def keys(self, feature: str) -> KeysView[Key]:
        """Return the organisations and companies that use a feature."""
        return self._names.get(feature, {}).keys()

    def total(self, keys: Iterable[Key], feature: str, now: float) -> tuple[Quantity, float]:
        """Return the quantity to subtract, and the instant until which it is the same."""
        names = self._names.get(feature)
        if names is None:
            return 0, float("inf")
        quantity: Quantity = 0
        until = float("inf")
        for key in keys:
            for name in names.get(key, ()):
                usage = self._by_name[name]
                if now < usage.until:
                    quantity, until = plus(quantity, usage.quantity), min(until, usage.until)
        return quantity, until

    def _drop_old(self, now: float) -> None:
        while self._by_name:  # they are in the order of their ends
            name, usage = next(iter(self._by_name.items()))
            if now < usage.until:
                return
            self.remove(name)
