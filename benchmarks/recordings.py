"""The cost of recordings: replaying a call, opening a file, recording calls over HTTP, and checking for drift."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks._measure import Part, Row, cpu_seconds, interleaved, micro, number, within_limit
from benchmarks._server import serving
from benchmarks.http import _ANSWERS, _BASE, _KEY, _check
from chatarmin_os import ChatarminOS
from chatarmin_os.drift import check_recording
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.transports import HTTPTransport, RecordingTransport, ReplayTransport

_CALLS, _ROUNDS, _ROUNDS_OF_CALLS = 10_000, 7, 60
_MAX_RATIO, _MAX_TO_RECORD = 2, 1.1


def run() -> Part:
    """Measure replaying, opening and recording."""
    with TemporaryDirectory() as folder, serving(_ANSWERS) as url:
        path = Path(folder) / "recording.jsonl"
        fake, company = _recorded(path)
        lines = path.read_bytes().splitlines()
        whole = interleaved(
            {
                "fake": lambda: cpu_seconds(partial(_checks, ChatarminOS(transport=fake), company)) / _CALLS,
                "replay": lambda: cpu_seconds(partial(_checks, _replaying(path), company)) / _CALLS,
                "json.loads": lambda: cpu_seconds(lambda: [json.loads(line) for line in lines]),
                "open": lambda: cpu_seconds(lambda: ReplayTransport(path)),
                "check": lambda: cpu_seconds(lambda: check_recording(path)) / _CALLS,
            },
            rounds=_ROUNDS,
        )
        plain = ChatarminOS(transport=HTTPTransport(_KEY, url + _BASE))
        recorder = RecordingTransport(HTTPTransport(_KEY, url + _BASE), Path(folder) / "http.jsonl")
        recording = ChatarminOS(transport=recorder)
        single = interleaved(
            {"http": partial(_repeated, plain), "recording": partial(_repeated, recording)}, rounds=_ROUNDS_OF_CALLS
        )
        plain.close()
        recording.close()
    rows = [
        within_limit(
            _MAX_RATIO,
            whole.ratio("replay", "fake"),
            what="`features.check` replayed, compared with the same on the fake",
            figure=f"{micro(whole.median('replay'))} (fake {micro(whole.median('fake'))})",
        ),
        within_limit(
            _MAX_RATIO,
            whole.ratio("open", "json.loads"),
            what=f"opening {_CALLS:,} calls, compared with `json.loads` of their lines",
            figure=f"{number(whole.median('open') * 1e3)} ms",
        ),
        within_limit(
            _MAX_TO_RECORD,
            single.ratio("recording", "http"),
            what="`features.check` over HTTP and recorded, compared with the same over HTTP",
            figure=f"{micro(single.median('recording'))} (HTTP {micro(single.median('http'))})",
        ),
        Row(
            "each call of a drift check, compared with the same call on the fake",
            micro(whole.median("check")),
            number(whole.ratio("check", "fake")),
        ),
    ]
    note = "Process time; the recording has 10,000 equal calls of `features.check`. Over HTTP: loopback, keep-alive."
    return Part("Recordings", note, rows)


def _recorded(path: Path) -> tuple[FakeTransport, str]:
    """Record many checks, and return the fake and the company that they are about."""
    fake = FakeTransport(demo_catalogue())
    company = ChatarminOS(transport=fake).onboard(external_org_id="org", tier_code="pro").company_id
    assert company
    with ChatarminOS(transport=RecordingTransport(fake, path)) as client:
        _checks(client, company)
    return fake, company


def _checks(client: ChatarminOS, company: str) -> None:
    for _ in range(_CALLS):
        client.features.check(company_id=company, feature_code="ai_credit")


def _replaying(path: Path) -> ChatarminOS:
    return ChatarminOS(transport=ReplayTransport(path))


def _repeated(client: ChatarminOS, times: int = 100) -> float:
    """Return the process time of one call."""

    def repeat() -> None:
        for _ in range(times):
            _check(client)

    return cpu_seconds(repeat) / times
