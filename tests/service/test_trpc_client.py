"""The official client of tRPC works with the local service, in each of its configurations.

The calls and the checks of their results are in `trpc_client/scenario.mjs`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Literal

import pytest

from chatarmin_os import PROCEDURES
from chatarmin_os.errors import CODES
from chatarmin_os.server import serve_fake

pytestmark = [pytest.mark.slow, pytest.mark.needs("trpc_client")]

TRPC_CLIENT = Path(__file__).parents[1] / "trpc_client"
LINKS: dict[Literal[10, 11], tuple[str, ...]] = {
    11: ("httpLink", "httpBatchLink", "httpBatchStreamLink"),
    10: ("httpLink", "httpBatchLink", "unstable_httpBatchStreamLink"),
}

# The refusals in the scenario. Version 10 reports a wrong kind as a wrong path.
REFUSED = {
    "a failure that was asked for": "TOO_MANY_REQUESTS",
    "a query called as a mutation": "METHOD_NOT_SUPPORTED",
    "another service's key": "UNAUTHORIZED",
    "blank text": "BAD_REQUEST",
    "disabled": "FORBIDDEN",
    "linked already": "CONFLICT",
    "no input": "BAD_REQUEST",
    "no key": "UNAUTHORIZED",
    "no such tier": "NOT_FOUND",
    "null for an input": "BAD_REQUEST",
    "null for an optional field": "BAD_REQUEST",
    "over the limit": "PRECONDITION_FAILED",
    "unknown procedure": "NOT_FOUND",
}


def run_scenario(url: str, *configurations: str) -> list[dict[str, Any]]:
    """Run the scenario with the official client, and return its report for each configuration."""
    command = [shutil.which("node") or "node", str(TRPC_CLIENT / "client.mjs"), url, *configurations]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    reports: list[dict[str, Any]] = [json.loads(line) for line in run.stdout.splitlines()]
    failed = [f"{one['configuration']}, {one['failed']}: {one['message']}" for one in reports if "failed" in one]
    assert not failed, "\n".join(failed)
    assert (run.returncode, run.stderr) == (0, "")
    return reports


def check(report: dict[str, Any], version: Literal[10, 11]) -> None:
    """Check that every procedure responded, and that refusals have the numbers and statuses of their codes."""
    assert report["procedures"] == {path: request.kind for path, request in PROCEDURES.items()}
    codes = REFUSED if version == 11 else {**REFUSED, "a query called as a mutation": "NOT_FOUND"}
    assert report["errors"] == {
        reason: {"code": code, "httpStatus": CODES[code].http_status, "number": CODES[code].number}
        for reason, code in codes.items()
    }


@pytest.mark.parametrize("transformer", ["plain", "superjson"])
@pytest.mark.parametrize(("version", "link"), [(version, link) for version, links in LINKS.items() for link in links])
def test_official_client_gets_results_and_errors(
    version: Literal[10, 11], link: str, transformer: Literal["plain", "superjson"]
) -> None:
    """With every link and transformer, from a service with the same version and transformer."""
    with serve_fake(version=version, transformer="json" if transformer == "plain" else "superjson") as url:
        [report] = run_scenario(url, f"v{version}-{link}-{transformer}")

    check(report, version)


@pytest.mark.parametrize("version", LINKS)
def test_one_service_suits_all_configurations_of_a_version(version: Literal[10, 11]) -> None:
    """A service without a set transformer responds in that of each call."""
    configurations = [f"v{version}-{link}-{name}" for link in LINKS[version] for name in ("plain", "superjson")]
    with serve_fake(version=version) as url:
        reports = run_scenario(url, *configurations)

    assert [one["configuration"] for one in reports] == configurations
    for one in reports:
        check(one, version)
