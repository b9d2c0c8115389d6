"""Recorded calls made again, against the fake or a live service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from chatarmin_os._call import Call
from chatarmin_os.drift._reading import mapping, number, text
from chatarmin_os.drift.assumptions import Memory, Rule, Situation, touched
from chatarmin_os.drift.compare import Difference, Matcher, fields_of, told
from chatarmin_os.drift.start import seeded
from chatarmin_os.errors import _NO_PROCEDURE, ApiError, CassetteError, InvalidInput, TransportError
from chatarmin_os.fake import FakeTransport
from chatarmin_os.procedures.table import PROCEDURES
from chatarmin_os.recording import file
from chatarmin_os.recording.file import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os._request import Kind
    from chatarmin_os.drift.compare import Came
    from chatarmin_os.fake.catalogue import Catalogue
    from chatarmin_os.fake.state import Event
    from chatarmin_os.transports.base import Transport

_OF_AN_ORG = frozenset({"externalOrgId", "name", "companyName", "customerName"})  # a company may be called by it
_TROUBLES = frozenset({"UNAUTHORIZED", "TOO_MANY_REQUESTS"})
_SERVER_ERROR = 500
_MOST_NEW_STARTS = 100
_ABOUT_STATE = frozenset({"outcome", "value", "id"})


class Checked(NamedTuple):
    """A recorded call that was made again.

    `now` is the call as it was made and what came of it, None where the recording has no answer to compare;
    `verdicts` has the decided rules that it touches.
    """

    recorded: Recorded
    now: Recorded | None
    differences: list[Difference]
    verdicts: dict[Rule, bool]


class _Model(FakeTransport):
    """A fake that starts from what calls show, and tells the situation before each."""

    def __init__(self, catalogue: Catalogue | None = None, *, now: Callable[[], datetime] | None = None) -> None:
        super().__init__(catalogue, now=now)
        self._memory, self.matcher = Memory(), Matcher()
        self.unknown: dict[int, frozenset[str]] = {}
        self.explained: set[int] = set()

    def add_events(self, events: dict[str, Event]) -> None:
        """Add usage events with answers as they were recorded, of whatever shape."""
        self.service.add_events(events)

    def check(self, recorded: Recorded, place: int) -> Checked:
        """Make a recorded call; of its answer, unknown fields are not compared."""
        unknown = self.unknown.get(place, frozenset())
        call = _call(recorded, self.matcher.translated(recorded.input))
        with self.service.read() as state:
            situation = Situation(state, call, self._memory)
        situation.came = _made(self, call)
        self._memory.keep(situation)
        found = self.matcher.differences(recorded.came, situation.came)
        differences = [difference for difference in found if not unknown & fields_of(difference.place)]
        rules = [rule for rule in touched(situation, recorded.came) if not rule.shows & unknown]
        verdicts = [(rule, rule.verdict(differences, is_explained=place in self.explained)) for rule in rules]
        now = Recorded(call.path, call.kind, call.input, situation.came)
        return Checked(recorded, now, differences, {rule: is_so for rule, is_so in verdicts if is_so is not None})


def against_the_fake(
    calls: Sequence[Recorded], recorded_at: datetime | None, *, is_redacted: bool = False
) -> Iterator[Checked]:
    """Yield each call as the fake answers it.

    After a call that came to something else the fake starts anew from what the rest of the calls shows, so that one
    difference is not told again by all that follow from it; but not for ever, since that takes its time.
    """
    now = recorded_at or datetime.now(UTC)

    def begun(place: int) -> _Model:
        seed = seeded(calls[place:], now, past=calls[:place], is_redacted=is_redacted)
        try:
            model = _Model.from_snapshot({**seed.snapshot, "events": {}}, now=lambda: now)
        except ValueError as error:
            raise CassetteError(f"the recording shows what no fake can hold: {error}") from error
        model.add_events(seed.snapshot["events"])
        model.matcher = Matcher(is_redacted=is_redacted)
        model.unknown = {index + place: fields for index, fields in seed.unknown.items()}
        model.explained = {index + place for index in seed.explained}
        return model

    model = begun(0)
    left = _MOST_NEW_STARTS
    for place, recorded in enumerate(calls):
        if _tells_nothing(recorded):
            yield Checked(recorded, None, [], {})
            continue
        checked = model.check(recorded, place)
        yield checked
        if left and any(difference.kind in _ABOUT_STATE for difference in checked.differences):
            model = begun(place + 1)
            left -= 1


def against_a_service(calls: Sequence[Recorded], service: Transport) -> Iterator[Checked]:
    """Yield each call as a live service answers it.

    What the caller makes up is made up anew, for it is used up there already: usage keys, and ids of organisations that
    were not linked when they were first met.

    Raises:
        TransportError: There was no answer; it says at which line, for the calls before it have run.
        UnauthorizedError: The key is refused.
        NotFoundError: It knows the first procedure not at all: it is probably no such service.
    """
    matcher, anew = Matcher(), _Anew(calls)
    is_known = False
    for line, recorded in enumerate(calls, start=file.FIRST_CALL):
        if _tells_nothing(recorded):
            yield Checked(recorded, None, [], {})
            continue
        call = _call(recorded, matcher.translated(anew.translated(recorded.input)))
        try:
            came = _made(service, call)
        except TransportError as error:
            error.args = (f"{error} (line {line} of the recording; the calls before it have run)",)
            raise
        now = Recorded(call.path, call.kind, call.input, came)
        is_known = is_known or not _NO_PROCEDURE.match(mapping(came.get("error")).get("message") or "")
        if told(came) == "UNAUTHORIZED" or not is_known:
            file.answer_of(now)
        yield Checked(recorded, now, matcher.differences(anew.translated_came(recorded.came), came), {})


class _Anew:
    """Replaces what the caller made up."""

    def __init__(self, calls: Sequence[Recorded]) -> None:
        self._run = uuid4().hex[:8]
        linked = {row["externalOrgId"] for row in seeded(calls, datetime.now(UTC), is_redacted=False).snapshot["links"]}
        given = (text(mapping(recorded.input).get("externalOrgId")) for recorded in calls)
        self._orgs = {org for org in given if org and org not in linked}

    def translated(self, content: JSON, key: str = "") -> JSON:
        """Return an input, or an answer, with what is made up in this run."""
        if isinstance(content, dict):
            return {name: self.translated(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self.translated(item, key) for item in content]
        is_made_up = key == "idempotencyKey" or (key in _OF_AN_ORG and content in self._orgs)
        return f"{content}-{self._run}" if is_made_up and isinstance(content, str) else content

    def translated_came(self, came: dict[str, Any]) -> dict[str, Any]:
        """Return an outcome with what is made up in this run."""
        return {"answer": self.translated(came["answer"])} if "answer" in came else came


def recorded_at(head: dict[str, Any]) -> datetime | None:
    """Return when a recording was made."""
    return file.recorded_at(head)


def _tells_nothing(recorded: Recorded) -> bool:
    """Return whether there was no answer, or one that tells of the key and the service's trouble, not of the call."""
    error = recorded.came.get("error", {})
    is_trouble = error.get("code") in _TROUBLES or (number(error.get("status")) or 0) >= _SERVER_ERROR
    return "failure" in recorded.came or is_trouble


def _call(recorded: Recorded, given: JSON) -> Call:
    """Return a recorded call with another input."""
    known = PROCEDURES.get(recorded.path)
    kind: Kind = "mutation" if recorded.kind == "mutation" else "query"
    return Call(recorded.path, kind, given, known.safe_to_repeat if known else kind == "query")


def _made(transport: Transport, call: Call) -> Came:
    """Return what comes of a call.

    Raises:
        TransportError: There was no answer.
    """
    try:
        answer: JSON | ApiError = transport.send(call)
    except ApiError as refusal:
        answer = refusal
    except InvalidInput as error:
        raise CassetteError(f"the recorded {call.path} cannot be sent: {error}") from error
    return file.came_of(answer)
