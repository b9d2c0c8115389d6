"""Answers that several processes share through a cache; whatever goes wrong with it is a miss."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from chatarmin_os.gate.fences import Key
from chatarmin_os.gate.record import Record, decode, encode

if TYPE_CHECKING:
    from chatarmin_os.client import ChatarminOS
    from chatarmin_os.gate.clock import Clock
    from chatarmin_os.gate.shared_cache import SharedCache

T = TypeVar("T")

_log = logging.getLogger("chatarmin_os")
_QUIET_SECONDS = 60.0
_GENERATION_SECONDS = 14 * 86_400.0


class SharedRecords:
    """The shared cache of a gate.

    Args:
        cache: The cache.
        client: The client, whose transport has a text that identifies the product, or None if it must not be shared.
        clock: The gate's clock.
    """

    def __init__(self, cache: SharedCache, client: ChatarminOS, clock: Clock) -> None:
        self._cache, self._client, self._clock = cache, client, clock
        self._quiet_until = float("-inf")

    def generation(self) -> str | None:
        """Return the present generation, which each record has; None if nothing can be shared now."""
        key = self._key("generation", "")
        if key is None:
            return None
        is_done, found = self._try(lambda: self._cache.get(key))
        if not is_done:
            return None
        return found if isinstance(found, str) and found else self.renew()

    def renew(self) -> str | None:
        """Make all records old; return the new generation."""
        key, name = self._key("generation", ""), uuid4().hex
        if key is None:
            return None
        is_done, _ = self._try(lambda: self._cache.set(key, name, _GENERATION_SECONDS))
        return name if is_done else None

    def read(self, key: Key, generation: str) -> Record | None:
        """Return the record of a key in this generation; None if the cache has no such record."""
        name = self._key(*key)
        if name is None or (text := self._try(partial(self._cache.get, name))[1]) is None:
            return None
        _, record = self._try(lambda: decode(json.loads(text), generation))
        return record

    def write(self, key: Key, record: Record, generation: str, seconds: float) -> None:
        """Write the record of a key, for so many seconds."""
        name = self._key(*key)
        if name is not None and seconds > 0:
            text = json.dumps(encode(record, generation))
            self._try(lambda: self._cache.set(name, text, seconds))

    def drop(self, keys: Iterable[Key]) -> None:
        """Delete the records of keys."""
        for key in keys:
            name = self._key(*key)
            if name is None or not self._try(partial(self._cache.delete, name))[0]:
                return

    def _key(self, kind: str, name: str) -> str | None:
        fingerprint = self._client.transport.fingerprint()
        # A hash has no letter that a cache forbids, and is short.
        return fingerprint and f"chatarmin_os:gate:1:{fingerprint}:{kind}:{sha256(name.encode()).hexdigest()}"

    def _try(self, act: Callable[[], T]) -> tuple[bool, T | None]:
        """Return whether the cache did it, and its result."""
        try:
            return True, act()
        except Exception as error:  # noqa: BLE001 - a cache may raise anything, and a gate works without it
            now = self._clock.seconds()
            if now >= self._quiet_until:
                self._quiet_until = now + _QUIET_SECONDS
                _log.warning("the shared cache of the gate failed: %s", type(error).__name__)
            return False, None
