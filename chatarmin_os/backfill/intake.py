"""The rows of a run as they are read: checked, and compared with the checkpoint, before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from types import GeneratorType
from typing import Any, NamedTuple

from attrs import define, field

from chatarmin_os._json import short_repr
from chatarmin_os.backfill.checkpoint import Checkpoint, Failure, Stored
from chatarmin_os.backfill.digests import digest_of
from chatarmin_os.backfill.problems import FileProblem
from chatarmin_os.backfill.reading import Rows, Unread
from chatarmin_os.backfill.row import Row, content_hash, given_to_json, origin_of, row_of, row_to_json, row_values
from chatarmin_os.backfill.work import Task
from chatarmin_os.errors import InvalidInput

_READ_AT_ONCE = 200
"""Rows that are looked up in the checkpoint together."""

_NOT_DONE = 0, None, 0


@define
class Counts:
    """How many rows have ended, and how.

    Attributes:
        total: How many were read.
        kept_tiers: How many of the rows that are done have a tier that was not applied.
        plan: In a dry run: how many rows need each step.
    """

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    kept_tiers: int = 0
    plan: dict[str, int] = field(factory=dict)

    @property
    def ended(self) -> int:
        """How many rows have ended."""
        return self.done + self.skipped + self.failed


class _Given(NamedTuple):
    """A row as it was given.

    Attributes:
        line: The line in its file, or its place.
        organisation: The id as it was given: most rows are found by it, and skipped before they are checked.
        digest: The digest of all that was given; None: unknown.
        value: The record of a file, or what a program gave.
    """

    line: int
    organisation: str | None
    digest: bytes | None
    value: Any


class Intake:
    """Reads rows, and yields those that have to be applied.

    Args:
        rows: Rows, or mappings with the keys of one.
        interruptible: Makes a context in which Ctrl-C ends the wait for the next row.
        counts: Rows that end here are counted.
        on_ended: Called when rows have ended here, and none of those read with them has to be applied.

    Attributes:
        tiers: The codes of all tiers; None: unknown.
    """

    def __init__(
        self,
        rows: Iterable[Any],
        checkpoint: Checkpoint,
        counts: Counts,
        interruptible: Callable[[], AbstractContextManager[None]],
        on_ended: Callable[[], object],
    ) -> None:
        self.tiers: frozenset[str] | None = None
        self._row_of: Callable[[Any], Row]
        self._checkpoint, self._counts, self._interruptible = checkpoint, counts, interruptible
        self._on_ended = on_ended
        self._seen = bytearray()  # by the id of a row: whether this run has read it; a million rows are a megabyte
        self._given, self._row_of = _read(rows, counts), row_of
        if isinstance(rows, Rows):
            self._given, self._row_of = _read_file(rows, counts), rows.row_of
        self._batch: list[_Given | Failure] = []

    def read(self) -> None:
        """Read the next rows, unless there are some: a file that cannot be used fails here, before anything is sent."""
        if not self._batch:
            with self._interruptible():
                self._batch = list(islice(self._given, _READ_AT_ONCE))

    def __iter__(self) -> Iterator[Task]:
        while True:
            self.read()
            batch, self._batch = self._batch, []
            if not batch:
                return
            failures = [one for one in batch if isinstance(one, Failure)]
            rows = self._check(self._without_done([one for one in batch if isinstance(one, _Given)]), failures)
            tasks = self._compare(rows, failures) if rows else []
            if failures:
                self._checkpoint.note([], failures)
                self._counts.failed += len(failures)
            if not tasks:
                self._on_ended()
            yield from tasks

    def _without_done(self, batch: list[_Given]) -> list[_Given]:
        """Return the rows that are left without those that are done, and came exactly as they did then."""
        found = self._checkpoint.find_done(one.organisation for one in batch if one.organisation is not None)
        left, moved = [], []
        again: set[str | None] = set()  # an earlier row with the same organisation has to be compared first
        for one in batch:
            line, organisation, digest, _ = one
            row, given, old_line = found.get(organisation or "", _NOT_DONE)
            if digest is None or digest != given or organisation in again or not self._is_new(row):
                left.append(one)
                again.add(organisation)
            elif line != old_line:
                moved.append((line, row))
        self._counts.skipped += len(batch) - len(left)
        if moved:
            self._checkpoint.move(moved)
        return left

    def _is_new(self, row: int) -> bool:
        """Return whether this run reads the row with this id for the first time."""
        if row >= len(self._seen):
            self._seen.extend(bytes(row + 1_000))
        is_seen, self._seen[row] = self._seen[row], 1
        return not is_seen

    def _check(self, batch: list[_Given], failures: list[Failure]) -> list[tuple[_Given, Row]]:
        """Return the rows that are valid; the others are added to *failures*."""
        rows = []
        for one in batch:
            try:
                rows.append((one, self._row_of(one.value)))
            except InvalidInput as error:
                failures.append(_failure(one, "INVALID", str(error)))
        return rows

    def _compare(self, rows: list[tuple[_Given, Row]], failures: list[Failure]) -> list[Task]:
        """Return the tasks that are left; rows that fail here are added to *failures*."""
        known = self._checkpoint.find(row.external_org_id for _, row in rows)
        read: dict[str, tuple[_Given, Row, Stored]] = {}
        for one, row in rows:
            stored = known.get(row.external_org_id)
            first = read[row.external_org_id][2].line if row.external_org_id in read else None
            if first is None and stored is not None and not self._is_new(stored.id):
                first = stored.line
            if first is not None:
                problem = f"external_org_id: line {first} has the same one; merge the rows, or remove one"
                failures.append(_failure(one, "CONFLICT", problem))
                continue
            content = bytes.fromhex(content_hash(row))
            now = Stored(0, one.digest, content, one.line, is_done=0, is_created=0, tier=None)
            if stored is not None and stored.is_done:
                now = now._replace(is_done=int(stored.content == content))
            elif stored is not None:
                now = now._replace(is_created=stored.is_created, tier=stored.tier)
            read[row.external_org_id] = one, row, now
        return list(self._store(read, failures))

    def _store(self, read: dict[str, tuple[_Given, Row, Stored]], failures: list[Failure]) -> Iterator[Task]:
        new = self._checkpoint.store([(organisation, stored) for organisation, (_, _, stored) in read.items()])
        for organisation, (one, row, _) in read.items():
            stored, tier = new[organisation], row.tier_code
            task = Task(row, one.line, stored.id, is_created=bool(stored.is_created), tier=stored.tier)
            self._is_new(stored.id)
            if stored.is_done:
                self._counts.skipped += 1
            elif self.tiers is not None and tier is not None and tier not in self.tiers:
                problem = f"tier_code: no tier {tier!r} in this product; its tiers are {', '.join(sorted(self.tiers))}"
                failures.append(failure_of(task, "tier", "NOT_FOUND", problem))
            else:
                yield task


def _read(rows: Iterable[Any], counts: Counts) -> Iterator[_Given | Failure]:
    """Yield what a program gives; an error for one row is a failure, if the iterator goes on behind it."""
    iterator = iter(rows)
    while True:
        place = counts.total + 1
        try:
            value = next(iterator)
        except StopIteration:
            return
        except InvalidInput as error:
            source = getattr(error, "source", None)
            if source is None or isinstance(iterator, GeneratorType):  # a generator ends with its error
                raise
            counts.total = place
            yield Failure(getattr(error, "line", place), None, "read", "INVALID", str(error), _text_of(source))
            continue
        counts.total = place
        origin = origin_of(value) if isinstance(value, Row) else None
        yield _Given(place if origin is None else origin.line, *_key_of(value), value)


def _key_of(value: object) -> tuple[str | None, bytes | None]:
    """Return the id and the digest of a row as a program gives it; None for what is of no simple type."""
    if isinstance(value, Row):
        return value.external_org_id, digest_of(row_values(value))
    organisation = _id_of(value.get("external_org_id")) if type(value) is dict else None
    return (None, None) if organisation is None else (organisation, digest_of(value))


def _id_of(value: object) -> str | None:
    """Return an id as it was given; None if it may be invalid, such as half of a surrogate pair."""
    return value if type(value) is str and value.isprintable() else None


def _read_file(rows: Rows, counts: Counts) -> Iterator[_Given | Failure]:
    """Yield the records of a file, whose values are not read yet."""
    for record in rows.records:
        counts.total += 1
        if isinstance(record, FileProblem):
            yield Failure(record.line or 0, None, "read", "INVALID", str(record), _text_of(record.source))
        else:
            line, columns, values = record
            yield _Given(line, _id_of(values[columns.place_of_id]), digest_of(values, columns.digest), record)


def failure_of(task: Task, step: str, code: str, message: str) -> Failure:
    """Return the failure of a row, with the row as it came."""
    return Failure(task.line, task.row.external_org_id, step, code, message, _text_of(_source_of(task.row)))


def _failure(one: _Given, code: str, message: str) -> Failure:
    return Failure(one.line, one.organisation, "read", code, message, _text_of(_source_of(one.value)))


def _source_of(value: object) -> object:
    """Return a row as it came: in the form of `Origin.source`, or as `{"row": ...}` if a program gave it."""
    if isinstance(value, Row):
        origin = origin_of(value)
        return {"row": row_to_json(value)} if origin is None else origin.source
    return value.origin.source if isinstance(value, Unread) else {"row": value}


def _text_of(given: object) -> str:
    """Return a row as it came as JSON, in ASCII: a file may have bytes that are not UTF-8.

    Example:
        >>> _text_of({"row": {"name": 1j}})
        '{"row": {"name": "1j"}}'
    """
    try:
        return json.dumps(given, default=given_to_json)
    except (TypeError, ValueError, RecursionError):  # a key that JSON lacks, or a circle
        return json.dumps({"row": short_repr(given)})
