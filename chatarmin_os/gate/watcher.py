"""Takes note of the changes of clients, so that no older answer is used."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from chatarmin_os import _clock
from chatarmin_os._call import Call
from chatarmin_os._converter import from_answer
from chatarmin_os._json import JSON
from chatarmin_os._usage_event import UsageEvent
from chatarmin_os.errors import InvalidResponse
from chatarmin_os.gate.arguments import key_of
from chatarmin_os.gate.effects import Effect, effect_of, is_final, is_refusal, text_at, was_not_sent
from chatarmin_os.gate.fences import EVERYTHING, Key
from chatarmin_os.gate.shared_records import SharedRecords
from chatarmin_os.gate.state import State
from chatarmin_os.models.billing import UsageResult
from chatarmin_os.procedures.billing import TrackUsageInput

_USAGE = TrackUsageInput(company_id="-", feature_code="-", quantity=1, idempotency_key="-")


class _Change(NamedTuple):
    """A mutation under way: its effect, and the keys of its fences."""

    effect: Effect
    keys: list[Key]


class MutationWatcher:
    """Takes note of each mutation of a client.

    Args:
        state: The state that the threads of the gate share.
        shared: The shared cache; None if decisions are not shared.
    """

    def __init__(self, state: State, shared: SharedRecords | None) -> None:
        self._state, self._shared = state, shared

    def before(self, call: Call) -> _Change | None:
        """Invalidate the answers that a mutation may change."""
        effect = effect_of(call.path, call.input)
        if effect.kind != "access":
            return None
        state = self._state
        with state.lock:
            keys = self._keys(effect)
            state.fences.begin(keys)
            self._invalidate(keys)
        return _Change(effect, keys)

    def after(self, token: _Change | None, call: Call, result: JSON | BaseException) -> None:
        """Drop the answers that it changed, or write down its usage."""
        effect = effect_of(call.path, call.input) if token is None else token.effect
        if effect.kind == "usage":
            self._count(effect, call.input, result)
        elif effect.kind == "access":
            self._change(effect, token, result)
            if not isinstance(result, BaseException):
                self._announce(effect.after(result), call.input)

    def forget(self, keys: Sequence[Key]) -> None:
        """Drop the answers about keys, here and in the shared cache."""
        at = self._wall()
        with self._state.lock:
            wider = self._with_companies(keys)
            self._state.fences.put(wider, at)
            dropped = self._drop(wider)
        self._unshare(dropped)
        for listener in self._state.listeners:
            for kind, name in keys:
                listener.changed(name if kind == "organisation" else None, name if kind == "company" else None, None)

    def _announce(self, effect: Effect, given: JSON) -> None:
        feature = None if effect.is_everything else text_at(given, "featureCode")
        for listener in self._state.listeners:
            listener.changed(effect.organisation, effect.company, feature)

    def _change(self, effect: Effect, token: _Change | None, result: JSON | BaseException) -> None:
        state, at = self._state, self._wall()
        begun = [] if token is None else token.keys
        has_failed = isinstance(result, BaseException)
        if not has_failed:
            effect = effect.after(result)
        dropped: list[Key] = []
        with state.lock:
            keys = self._keys(effect)
            if effect.company is None and effect.answer_names and not (has_failed and is_refusal(result)):
                keys = [*keys, EVERYTHING]  # nobody says which company it changed
            state.fences.end(begun, at)
            state.fences.put([key for key in keys if key not in begun], at)
            if has_failed:
                self._invalidate(keys)
            elif effect.is_everything:
                dropped = self._drop([EVERYTHING])
            else:
                dropped = self._drop([key for key in keys if key != EVERYTHING])
                if EVERYTHING in keys and effect.answer_names:  # it found no company: most likely it changed nothing
                    self._invalidate(keys, is_suspect=True)
                elif EVERYTHING in keys:  # of what others share, an entry from before the change is not read here
                    self._drop(keys)
        self._unshare(dropped)

    def _count(self, effect: Effect, given: JSON, result: JSON | BaseException) -> None:
        """Write the answer to usage into the known answers."""
        if isinstance(result, BaseException) and was_not_sent(result):
            return
        state, at = self._state, self._wall()
        name, feature = text_at(given, "idempotencyKey"), text_at(given, "featureCode")
        is_sent_again = isinstance(result, BaseException) and not is_final(result)
        usage = _usage_result(result)
        with state.lock:
            if name is not None and not is_sent_again:
                state.expected.remove(name)
            if effect.company is None or feature is None:
                state.fences.put([EVERYTHING], at)
                self._invalidate([EVERYTHING])
            else:
                state.fences.touch(("company", effect.company), at)
                state.note_usage(effect.company, feature, usage)

    def expect(self, event: UsageEvent) -> None:
        """Subtract usage that is not counted yet."""
        key, now = key_of(event.external_org_id, event.company_id), self._state.clock.seconds()
        with self._state.lock:
            self._state.expected.add(key, event.feature_code, event.quantity, event.idempotency_key, now)
            self._discard_ready(key)

    # With the lock

    def _keys(self, effect: Effect) -> list[Key]:
        """Return the keys that a mutation concerns; everything, if it names an organisation of an unknown company."""
        if effect.is_everything:
            return [EVERYTHING]
        keys: list[Key] = []
        if effect.company is not None:
            keys.append(("company", effect.company))
        if effect.organisation is not None:
            keys.append(("organisation", effect.organisation))
        keys = self._with_companies(keys)
        names_company = effect.answer_names or any(kind == "company" for kind, _ in keys)
        return keys if names_company else [*keys, EVERYTHING]

    def _with_companies(self, keys: Iterable[Key]) -> list[Key]:
        wider = dict.fromkeys(keys)
        for key in tuple(wider):
            entry = self._state.store.get(key)
            if entry is not None:
                wider |= dict.fromkeys(entry.keys())
        return list(wider)

    def _invalidate(self, keys: list[Key], *, is_suspect: bool = False) -> None:
        for entry in self._state.entries(keys):
            entry.invalidate()
            entry.is_suspect = entry.is_suspect or is_suspect

    def _drop(self, keys: list[Key]) -> list[Key]:
        """Forget entries; return the keys of their records in the shared cache."""
        entries = self._state.entries(keys)
        for entry in entries:
            self._state.store.remove(entry)
        return keys if EVERYTHING in keys else list(dict.fromkeys([*keys, *(entry.key for entry in entries)]))

    def _discard_ready(self, key: Key) -> None:
        for entry in self._state.store.concerned(self._with_companies([key])):
            entry.discard_ready()

    # Without the lock

    def _unshare(self, keys: list[Key]) -> None:
        if self._shared is None or not keys:
            return
        if EVERYTHING in keys:
            self._shared.renew()
        else:
            self._shared.drop(keys)

    def _wall(self) -> datetime:
        try:
            return self._state.clock.wall()
        except Exception:  # noqa: BLE001 - a fence must close, also if the clock of a fake fails
            return _clock.now()


def _usage_result(result: JSON | BaseException) -> UsageResult | None:
    """Return the answer to usage; None if there is no usable one."""
    if isinstance(result, BaseException):
        return None
    try:
        return from_answer(_USAGE, result)
    except InvalidResponse:
        return None
