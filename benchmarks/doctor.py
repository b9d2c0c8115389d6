"""`chatarmin-os doctor` compared with `chatarmin-os check`: both whole processes, against the local service.

People run the doctor when something is wrong, so it must not take much longer than the call that failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks._local_service import local_service
from benchmarks._measure import Part, interleaved, number, within_limit
from chatarmin_os import ChatarminOS

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAX_RATIO = 3.0
_ROUNDS = 15
_KEY = "os_sk_benchmark"
_COMMANDS = {"check": ("check", "org:org_1", "ai_credit"), "doctor": ("doctor",)}
_UNWANTED = ("DJANGO_SETTINGS_MODULE", "FLASK_APP")


def run() -> Part:
    """Measure both commands in turns."""
    with local_service() as url, TemporaryDirectory() as cache:
        with ChatarminOS(_KEY, base_url=url) as client:
            client.onboard(external_org_id="org_1", tier_code="free")
        environment = {name: value for name, value in os.environ.items() if name not in _UNWANTED}
        environment |= {"OS_API_KEY": _KEY, "OS_BASE_URL": url, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        subjects = {name: partial(_seconds, command, environment) for name, command in _COMMANDS.items()}
        samples = interleaved(subjects, rounds=_ROUNDS)
    doctor, check = (number(samples.median(name) * 1000) for name in ("doctor", "check"))
    return Part(
        "Doctor",
        "A new process of `chatarmin-os doctor` by the clock; ratio to `chatarmin-os check org:org_1 ai_credit`.",
        [
            within_limit(
                _MAX_RATIO,
                samples.ratio("doctor", "check"),
                what="`chatarmin-os doctor`, against the local service",
                figure=f"{doctor} ms (`check` {check} ms)",
            )
        ],
    )


def _seconds(command: tuple[str, ...], environment: Mapping[str, str]) -> float:
    start = perf_counter()
    arguments = [sys.executable, "-m", "chatarmin_os", *command]
    subprocess.run(arguments, env=environment, stdout=subprocess.DEVNULL, check=True)  # noqa: S603 - our own command
    return perf_counter() - start
