"""`chatarmin-os recording`: show recordings, redact them, and check them for drift."""

from __future__ import annotations

import json
from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatarmin_os._messages import printable
from chatarmin_os.cli._connection import add_options, connected, guarded
from chatarmin_os.cli._output import print_json, print_table
from chatarmin_os.cli._parser import add_json, command
from chatarmin_os.errors import CassetteError, InvalidInput

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.drift import Report
    from chatarmin_os.recording.file import Recorded

_FAKE = "fake"
_REDACTORS = ("email_addresses", "names", "metadata")
_WIDTH = 60
_FILE = "what RecordingTransport, or pytest --os-record, has made"
_EXIT_CODES = "0 done; 2 wrong usage, or no recording"


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command, with commands of its own, to those of the command line."""
    what = "show recordings of calls, redact them, and check whether the fake still does what they say"
    parser = commands.add_parser("recording", help=what, description=f"{what[0].upper()}{what[1:]}.")
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    check = command(
        parts,
        "check",
        "make recorded calls again, and report where what comes of them differs",
        "chatarmin-os recording check tests/recordings/*.jsonl",
        "chatarmin-os recording check billing.jsonl --against https://os.chatarmin.com/api/v1 --run-mutations",
        codes="0 no drift; 1 drift, or the service refused the key; 2 wrong usage, no recording; 3 no answer",
        run=partial(guarded, _check),
        names={"base_url": "--against", "run_mutations": "--run-mutations"},
    )
    check.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    check.add_argument(
        "--against",
        metavar="fake|URL",
        default=_FAKE,
        help="the in-memory service, started from what the recording shows (default), or a live one",
    )
    check.add_argument(
        "--run-mutations",
        action="store_true",
        help="let the live service be changed by the mutations of the recording; only on a sandbox account",
    )
    add_json(check)
    add_options(check)

    show = command(
        parts,
        "show",
        "print a recording as a table",
        "chatarmin-os recording show billing.jsonl",
        codes=_EXIT_CODES,
        run=partial(guarded, _show),
    )
    show.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    add_json(show)

    redact = command(
        parts,
        "redact",
        "take personal data out of a recording; the file is replaced when all is written",
        "chatarmin-os recording redact billing.jsonl",
        "chatarmin-os recording redact billing.jsonl --only names --only metadata --output redacted.jsonl",
        codes=_EXIT_CODES,
        run=partial(guarded, _redact),
    )
    redact.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    redact.add_argument("--output", metavar="FILE", help="write there, and leave the one recording as it is")
    redact.add_argument(
        "--only",
        metavar="WHAT",
        action="append",
        choices=_REDACTORS,
        help=f"any of {', '.join(_REDACTORS)}; default: all",
    )


def _check(given: Namespace) -> int:
    from chatarmin_os.drift import rules_as_json, rules_text

    given.base_url = given.against
    reports = []
    for report in _reports(given):
        reports.append(report)
        if not given.json:
            print(report, flush=True)  # what a later file may put an end to
    is_drift = any(report.is_drift for report in reports)
    if given.json:
        recordings = [report.as_json() for report in reports]
        print_json({"is_drift": is_drift, "recordings": recordings, "rules": rules_as_json(reports)})
    else:
        print(f"\n{rules_text(reports)}")
    return 1 if is_drift else 0


def _reports(given: Namespace) -> Iterator[Report]:
    """Yield the report of each file, once all are known to be recordings that may be made again."""
    from chatarmin_os.drift import check_recording, refuse_mutations
    from chatarmin_os.recording import file

    if given.against == _FAKE:
        for path in given.files:
            file.loaded(path)
        yield from map(check_recording, given.files)
        return
    with connected(given) as client:
        for path in given.files:
            refuse_mutations(path, allowed=given.run_mutations)
        for path in given.files:
            yield check_recording(path, against=client.transport, run_mutations=given.run_mutations)


def _show(given: Namespace) -> int:
    from chatarmin_os.recording import file

    recordings = [(path, *file.loaded(path)) for path in given.files]
    if given.json:
        print_json({"recordings": [_document(*recording) for recording in recordings]})
        return 0
    for path, head, calls in recordings:
        is_redacted = ", redacted" if head.get("redacted") else ""
        told = f"recorded {head.get('recorded_at')} from {head.get('from')}{is_redacted}"
        print(printable(f"{path}: {told}" if calls else f"{path}: {told}, no calls"))
        if calls:
            print_table(
                [
                    {
                        "line": line,
                        "call": call.path,
                        "input": "" if call.input is None else _shown(call.input),
                        "came_to": _came(call.came),
                    }
                    for line, call in enumerate(calls, start=file.FIRST_CALL)
                ]
            )
    return 0


def _document(path: str, head: dict[str, Any], calls: Sequence[Recorded]) -> dict[str, Any]:
    rows = [{"path": call.path, "kind": call.kind, "input": call.input, **call.came} for call in calls]
    return {"path": path, "head": head, "calls": rows}


def _came(came: dict[str, Any]) -> str:
    if "answer" in came:
        return _shown(came["answer"])
    if "error" in came:
        return f"{came['error']['code']}: {came['error']['message']}"
    return f"no answer ({came['failure']['type']}): {came['failure']['message']}"


def _shown(content: Any) -> str:
    text = json.dumps(content, ensure_ascii=False)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _through(redactors: Sequence[Callable[[JSON], JSON]], content: JSON) -> JSON:
    return reduce(lambda done, redact: redact(done), redactors, content)


def _redact(given: Namespace) -> int:
    from chatarmin_os.recording import file, redactors
    from chatarmin_os.recording import redaction as _redaction

    if given.output is not None and len(given.files) > 1:
        raise InvalidInput("--output takes one recording; without it each is replaced")
    names = [name for name in _REDACTORS if name in (given.only or _REDACTORS)]
    redact = partial(_through, [getattr(redactors, name) for name in names])
    recordings = [(path, *file.loaded(path)) for path in given.files]
    for path, head, calls in recordings:
        try:
            redaction = _redaction.Redaction(redact)
            redacted = [redaction.of(call) for call in calls]
        except ValueError:
            raise CassetteError(f"{path}: an answer is nested too deep to be redacted") from None
        output = Path(path if given.output is None else given.output).resolve()
        lines = [file.line({**head, "redacted": True}), *map(file.line, redacted)]
        try:
            file.write_whole(output, b"".join(lines), mode=Path(path).stat().st_mode)
        except OSError as error:
            raise CassetteError(f"{output}: {error.strerror}") from error
        changed = sum(call != before for call, before in zip(redacted, calls, strict=True))
        print(f"{output}: {changed} of {len(calls)} calls redacted")
    what = "personal_data" if given.only is None else ", ".join(names)
    print(f"Replay it with the same redactor: {what} of chatarmin_os.transports.redactors.")
    return 0
