"""Whether the fake still behaves as the service did, and the service as it did when it was recorded.

    >>> from tempfile import mkdtemp
    >>> from chatarmin_os import ChatarminOS
    >>> from chatarmin_os.transports import RecordingTransport
    >>> path = f"{mkdtemp()}/tiers.jsonl"
    >>> with ChatarminOS(transport=RecordingTransport(fake, path)) as client:
    ...     tier = client.tiers.get("pro")
    >>> report = check_recording(path)  # str(report) is the table of what differs
    >>> report.is_drift, len(report.calls)
    (False, 1)

Where to look for what:

- `_checking`: the calls are made again; `_comparing`: two outcomes of one call, with ids matched by role.
- `_seeding`: what each procedure's answer tells of what was there before; `_catalogue` of features and tiers; `_facts`:
  the tables it is kept in; `_unknown`: the fields it does not tell; `_reading`: answers, read without trust.
- `decided`: the rules that the fake had to decide, and the calls that touch them.
- `_report`: what was found, as text and as JSON.
"""

from __future__ import annotations

import os
from collections import Counter

from chatarmin_os._json import describe
from chatarmin_os.drift.check import Checked, against_a_service, against_the_fake
from chatarmin_os.drift.compare import Difference
from chatarmin_os.drift.report import Report, RuleReport, rules_as_json, rules_of, rules_text
from chatarmin_os.errors import CassetteError, InvalidInput
from chatarmin_os.recording import file
from chatarmin_os.transports import Transport

__all__ = [
    "Checked",
    "Difference",
    "Report",
    "RuleReport",
    "check_recording",
    "refuse_mutations",
    "rules_as_json",
    "rules_of",
    "rules_text",
]


def check_recording(
    path: str | os.PathLike[str], *, against: Transport | None = None, run_mutations: bool = False
) -> Report:
    """Make the calls of a recording again, in their order, and report where what comes of them differs.

    Compared are outcome, code and HTTP status of refusals, and fields, types and values of answers. Ids are matched by
    role: each must stand for what it stood for before. Instants that no input gave are compared by type, messages not
    at all. What the client reads alike is a difference of type alone: text for a number (`"6.00"`), a day or a year
    beyond 9999 for an instant. Calls are passed over that had no answer, or one of the service's trouble (5xx,
    TOO_MANY_REQUESTS) or the key's (UNAUTHORIZED).

    Args:
        path: A recording that `RecordingTransport` made.
        against: What to make the calls through; None: a fake that starts from what the recording shows: its
            companies, features, tiers, subscriptions. What is seen of them for the first time is taken as given; all
            that follows is checked.
        run_mutations: Whether a live service may be changed; without it a recording with mutations is refused. Run
            it on a sandbox account. Usage keys and organisations' ids are made anew; companies that earlier runs
            created are found by their names and domains, as the service finds them.

    Raises:
        CassetteError: It is no recording; a broken line is named by its number.
        InvalidInput: It has mutations, and *run_mutations* is not set.
        TransportError: The live service gave no answer.
        UnauthorizedError: It refuses the key.
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
        raise CassetteError(f"{path}: what a call was asked or answered is nested too deep") from None
    name = "the fake" if against is None else against.name
    return Report(str(path), head.get("from"), when, name, checked, judged)


def refuse_mutations(path: str | os.PathLike[str], *, allowed: bool) -> None:
    """Refuse a recording that would change what a live service keeps, unless that is allowed.

    Raises:
        CassetteError: It is no recording; a broken line is named by its number.
        InvalidInput: It has mutations, and they are not allowed.
    """
    calls = file.load(path).calls
    counts = Counter(call.path for call in calls if call.kind == "mutation" and "failure" not in call.outcome)
    if counts and not allowed:
        told = ", ".join(f"{path} {count}" for path, count in counts.items())
        raise InvalidInput(
            f"run_mutations: {path} changes what the service keeps ({told}); set it for a sandbox account only",
            field="run_mutations",
        )
