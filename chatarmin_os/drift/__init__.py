"""The drift check: whether the fake behaves as the recorded service did, and whether the service still does.

    >>> from tempfile import mkdtemp
    >>> from chatarmin_os import ChatarminOS
    >>> from chatarmin_os.transports import RecordingTransport
    >>> path = f"{mkdtemp()}/tiers.jsonl"
    >>> with ChatarminOS(transport=RecordingTransport(fake, path, prologue=True)) as client:
    ...     tier = client.tiers.get("pro")
    >>> report = check_recording(path)  # str(report) is the table of differences
    >>> report.is_drift, len(report.calls)
    (False, 1)

Where to find what:

- `check` repeats the recorded calls; `compare` compares two outcomes of a call, with ids matched by role.
- `start` creates a fake in the state that the calls start from: with the product's `catalogue`, and with tables that
  the `observer` fills from the recording's prologue.
- `knowledge` has the known facts; `reading` reads answers without trust; `redacted` lists the fields that cannot be
  compared after redaction.
- `assumptions` finds the calls that exercise an assumption of the fake, and the verdict of each call on it.
- `report`: the result, as text and as JSON.
"""

from __future__ import annotations

import os
from collections import Counter

from chatarmin_os._json import describe
from chatarmin_os.drift.check import Checked, against_a_service, against_the_fake
from chatarmin_os.drift.compare import Difference
from chatarmin_os.drift.report import (
    AssumptionReport,
    Report,
    assumptions_as_json,
    assumptions_of,
    assumptions_text,
)
from chatarmin_os.errors import CassetteError, InvalidInput
from chatarmin_os.recording import file
from chatarmin_os.transports import Transport

__all__ = [
    "AssumptionReport",
    "Checked",
    "Difference",
    "Report",
    "RuleReport",
    "assumptions_as_json",
    "assumptions_of",
    "assumptions_text",
    "check_recording",
    "refuse_mutations",
    "rules_as_json",
    "rules_of",
    "rules_text",
]

# The names in 0.1.0, kept for its users.
RuleReport = AssumptionReport
rules_as_json, rules_of, rules_text = assumptions_as_json, assumptions_of, assumptions_text


def check_recording(
    path: str | os.PathLike[str], *, against: Transport | None = None, run_mutations: bool = False
) -> Report:
    """Repeat the calls of a recording in their order, and report where their outcomes differ.

    The check compares outcome, code and HTTP status of refusals, and fields, types and values of answers. Ids are
    matched by role: an id must stand for the same thing throughout. Of timestamps that no input gave only the type is
    compared, and messages are not compared. Two notations that the client reads as the same value differ in type
    alone: a number as text (`"6.00"`), a day or a year beyond 9999 for a timestamp. Calls are skipped if they had no
    answer, or if the service failed (5xx, TOO_MANY_REQUESTS) or refused the key (UNAUTHORIZED).

    The fake starts from the recording's prologue. A call whose answer depends on other state is not checked, until a
    query among the calls has shown that state; the report lists these calls. A recording without a prologue is
    therefore checked for the companies that its calls create, and for values that they show twice.

    Args:
        path: A recording of `RecordingTransport`, best with `prologue=True`.
        against: The transport that repeats the calls; None: a fake.
        run_mutations: Whether a live service may be changed; without it a recording with mutations is refused. Set
            it for a sandbox account only. Usage keys and new organisations get new ids; companies that earlier runs
            created are found by their names and domains, as the service finds them.

    Raises:
        CassetteError: The file is missing or is not a recording; the message has the number of an invalid line.
        InvalidInput: The recording has mutations, and *run_mutations* is not set.
        TransportError: The live service did not answer.
        TypeError: *against* is not a transport.
        UnauthorizedError: The live service refuses the key.

    Example:
        >>> from tempfile import mkdtemp
        >>> from chatarmin_os import ChatarminOS
        >>> from chatarmin_os.transports import RecordingTransport
        >>> path = f"{mkdtemp()}/tiers.jsonl"
        >>> with ChatarminOS(transport=RecordingTransport(fake, path, prologue=True)) as client:
        ...     tier = client.tiers.get("pro")
        >>> fake.add_tier("pro", name="Professional")
        >>> [one.place for one in check_recording(path, against=fake).calls[0].differences]
        ['$.baseFee', '$.features', '$.name', '$.stripePriceIds']
    """
    if against is not None and not isinstance(against, Transport):
        raise TypeError(f"against: expected a chatarmin_os.transports.Transport or None, got {describe(against)}")
    if against is not None:
        refuse_mutations(path, allowed=run_mutations)
    head, lines = file.load(path)
    when = file.recorded_at(head)
    try:
        if against is None:
            checked = judged = list(against_the_fake(lines, when, is_redacted=head.get("redacted") is True))
        else:
            checked = list(against_a_service(lines, against))
            judged = list(against_the_fake([call.now or call.recorded for call in checked], None))
    except CassetteError as error:
        raise CassetteError(f"{path}: {error}") from error
    except RecursionError:
        raise CassetteError(f"{path}: the input or the answer of a call is nested too deep") from None
    name = "the fake" if against is None else against.name
    return Report(str(path), head.get("from"), when, name, checked, judged)


def refuse_mutations(path: str | os.PathLike[str], *, allowed: bool) -> None:
    """Refuse a recording that would change the state of a live service, unless that is allowed.

    Args:
        path: A recording.
        allowed: Whether a live service may be changed.

    Raises:
        CassetteError: The file is missing or is not a recording; the message has the number of an invalid line.
        InvalidInput: It has mutations, and they are not allowed.

    Example:
        >>> from tempfile import mkdtemp
        >>> from chatarmin_os import ChatarminOS
        >>> from chatarmin_os.transports import RecordingTransport
        >>> path = f"{mkdtemp()}/onboard.jsonl"
        >>> with ChatarminOS(transport=RecordingTransport(fake, path)) as client:
        ...     company = client.onboard(external_org_id="org_1")
        >>> refuse_mutations(path, allowed=False)
        Traceback (most recent call last):
        ...
        chatarmin_os.errors.InvalidInput: run_mutations: ... changes the state of the service (onboard 1); ...
    """
    calls = file.load(path).calls
    counts = Counter(call.path for call in calls if call.kind == "mutation" and "failure" not in call.outcome)
    if counts and not allowed:
        changes = ", ".join(f"{path} {count}" for path, count in counts.items())
        raise InvalidInput(
            f"run_mutations: {path} changes the state of the service ({changes}); set it for a sandbox account only",
            field="run_mutations",
        )
