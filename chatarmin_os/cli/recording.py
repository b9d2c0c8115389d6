"""`chatarmin-os recording`: show recordings, redact them, and check them for drift."""

from __future__ import annotations

from functools import partial, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatarmin_os._json import short_json
from chatarmin_os._messages import printable
from chatarmin_os.cli._connection import add_options, connect, run_command
from chatarmin_os.cli._output import print_json, print_table
from chatarmin_os.cli._parser import add_json, command
from chatarmin_os.errors import CassetteError, InvalidInput

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Callable, Iterator, Sequence

    from chatarmin_os._json import JSON
    from chatarmin_os.drift import Report
    from chatarmin_os.recording.file import Recording
    from chatarmin_os.recording.line import RecordedCall

_FAKE = "fake"
_REDACTORS = ("email_addresses", "names", "metadata")
_WIDTH = 60
_FILE = "a recording made by RecordingTransport or pytest --os-record"
_EXIT_CODES = "0 success; 2 wrong usage, or not a recording"


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command and its subcommands to the command line."""
    purpose = "show recordings of calls, redact them, and check whether the fake still behaves as recorded"
    parser = commands.add_parser("recording", help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")
    parts = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    check = command(
        parts,
        "check",
        "make recorded calls again, and report the differences and the assumptions that they confirm or contradict",
        "chatarmin-os recording check tests/recordings/*.jsonl",
        "chatarmin-os recording check billing.jsonl --against https://os.chatarmin.com/api/v1 --run-mutations",
        codes="0 no drift; 1 drift, or the service refused the key; 2 wrong usage, or not a recording; 3 no response",
        run=partial(run_command, _check),
        names={"base_url": "--against", "run_mutations": "--run-mutations"},
    )
    check.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    check.add_argument(
        "--against",
        metavar="fake|URL",
        default=_FAKE,
        help="the in-memory service, with the state that the recording shows (default), or a live service",
    )
    check.add_argument(
        "--run-mutations",
        action="store_true",
        help="allow the mutations of the recording to change the live service; use a sandbox account",
    )
    check.add_argument(
        "--verbose", action="store_true", help="also name the assumptions that the recordings do not exercise"
    )
    add_json(check)
    add_options(check)

    show = command(
        parts,
        "show",
        "print a recording as a table",
        "chatarmin-os recording show billing.jsonl",
        codes=_EXIT_CODES,
        run=partial(run_command, _show),
    )
    show.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    add_json(show)

    redact = command(
        parts,
        "redact",
        "remove personal data from a recording; the file is replaced once the new one is complete",
        "chatarmin-os recording redact billing.jsonl",
        "chatarmin-os recording redact billing.jsonl --only names --only metadata --output redacted.jsonl",
        codes=_EXIT_CODES,
        run=partial(run_command, _redact),
    )
    redact.add_argument("files", metavar="FILE", nargs="+", help=_FILE)
    redact.add_argument("--output", metavar="FILE", help="write to this file, and leave the recording unchanged")
    redact.add_argument(
        "--only",
        metavar="KIND",
        action="append",
        choices=_REDACTORS,
        help=f"one of {', '.join(_REDACTORS)}; can be repeated; default: all",
    )


def _check(given: Namespace) -> int:
    from chatarmin_os.drift import assumptions_as_json, assumptions_text

    given.base_url = given.against
    if given.against != _FAKE and not given.against.lower().startswith(("http://", "https://")):
        raise InvalidInput("must be fake or an http(s) URL").at("base_url")
    reports = []
    for report in _reports(given):
        reports.append(report)
        if not given.json:
            print(report, flush=True)  # a later file may fail
    is_drift = any(report.is_drift for report in reports)
    if given.json:
        recordings = [report.as_json() for report in reports]
        print_json({"is_drift": is_drift, "recordings": recordings, "rules": assumptions_as_json(reports)})
    else:
        print(f"\n{assumptions_text(reports, is_verbose=given.verbose)}")
    return 1 if is_drift else 0


def _reports(given: Namespace) -> Iterator[Report]:
    """Yield the report of each file, once all are known to be recordings whose calls may be made again."""
    from chatarmin_os.drift import check_recording, refuse_mutations
    from chatarmin_os.recording import file

    if given.against == _FAKE:
        for path in given.files:
            file.load(path)
        yield from map(check_recording, given.files)
        return
    with connect(given) as client:
        for path in given.files:
            refuse_mutations(path, allowed=given.run_mutations)
        for path in given.files:
            yield check_recording(path, against=client.transport, run_mutations=given.run_mutations)


def _show(given: Namespace) -> int:
    from chatarmin_os.recording import file

    recordings = [(path, file.load(path)) for path in given.files]
    if given.json:
        print_json({"recordings": [_document(*recording) for recording in recordings]})
        return 0
    for path, recording in recordings:
        head, lines = recording.head, recording.lines
        is_redacted = ", redacted" if head.get("redacted") else ""
        origin = f"recorded {head.get('recorded_at')} from {head.get('from')}{is_redacted}"
        print(printable(f"{path}: {origin}" if recording.calls else f"{path}: {origin}, no calls"))
        if lines:
            print_table(
                [
                    {
                        "line": call.line,
                        "call": f"prologue: {call.path}" if call.is_prologue else call.path,
                        "input": "" if call.input is None else short_json(call.input, _WIDTH),
                        "outcome": _outcome(call.outcome),
                    }
                    for call in lines
                ]
            )
    return 0


def _document(path: str, recording: Recording) -> dict[str, Any]:
    calls = [_row(call) for call in recording.calls]
    prologue = [_row(line) for line in recording.lines if line.is_prologue]
    return {"path": path, "head": recording.head, "calls": calls, "prologue": prologue}


def _row(call: RecordedCall) -> dict[str, Any]:
    return {"path": call.path, "kind": call.kind, "input": call.input, **call.outcome}


def _outcome(outcome: dict[str, Any]) -> str:
    if "answer" in outcome:
        return short_json(outcome["answer"], _WIDTH)
    if "error" in outcome:
        return f"{outcome['error']['code']}: {outcome['error']['message']}"
    return f"no response ({outcome['failure']['type']}): {outcome['failure']['message']}"


def _apply(redactors: Sequence[Callable[[JSON], JSON]], content: JSON) -> JSON:
    """Return content after all redactors, in their order."""
    return reduce(lambda redacted, redact: redact(redacted), redactors, content)


def _redact(given: Namespace) -> int:
    from chatarmin_os.recording import file, redactors
    from chatarmin_os.recording.line import encode
    from chatarmin_os.recording.redaction import Redaction

    if given.output is not None and len(given.files) > 1:
        raise InvalidInput("--output: takes one recording; omit it to replace each file")
    names = [name for name in _REDACTORS if name in (given.only or _REDACTORS)]
    redact = partial(_apply, [getattr(redactors, name) for name in names])
    recordings = [(path, file.load(path)) for path in given.files]
    for path, (head, lines) in recordings:
        try:
            redaction = Redaction(redact)
            redacted = [redaction.redact(line) for line in lines]
        except ValueError:
            raise CassetteError(f"{path}: an answer is nested too deeply to be redacted") from None
        output = Path(path if given.output is None else given.output).resolve()
        content = b"".join([encode({**head, "redacted": True}), *map(encode, redacted)])
        try:
            file.write_atomically(output, content, mode=Path(path).stat().st_mode)
        except OSError as error:
            raise CassetteError(f"{output}: {error.strerror}") from error
        changed = sum(line != before for line, before in zip(redacted, lines, strict=True))
        print(f"{output}: {changed} of {len(lines)} lines redacted")
    used = "personal_data" if given.only is None else ", ".join(names)
    print(f"Replay it with the same redactor: {used} of chatarmin_os.transports.redactors.")
    return 0
