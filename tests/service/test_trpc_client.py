"""The official client of tRPC finds in the served fake the service that it expects, in every configuration of its own.

What it does is told in `trpc_client/story.mjs`, and what comes of it is checked there, where the client is.
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

# What the story makes the service refuse. Version 10 takes a wrong kind for a wrong path.
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
    "null for what is optional": "BAD_REQUEST",
    "over the limit": "PRECONDITION_FAILED",
    "unknown procedure": "NOT_FOUND",
}


def told_by(url: str, *configurations: str) -> list[dict[str, Any]]:
    """Return what the official client tells of its way through the story, in each configuration."""
    command = [shutil.which("node") or "node", str(TRPC_CLIENT / "client.mjs"), url, *configurations]
    run = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own script
    told: list[dict[str, Any]] = [json.loads(line) for line in run.stdout.splitlines()]
    failed = [f"{one['configuration']}, {one['failed']}: {one['message']}" for one in told if "failed" in one]
    assert not failed, "\n".join(failed)
    assert (run.returncode, run.stderr) == (0, "")
    return told


def check(told: dict[str, Any], version: Literal[10, 11]) -> None:
    """Check that every procedure answered, and that refusals came with what tRPC tells of their codes."""
    assert told["procedures"] == {path: request.kind for path, request in PROCEDURES.items()}
    codes = REFUSED if version == 11 else {**REFUSED, "a query called as a mutation": "NOT_FOUND"}
    assert told["errors"] == {
        what: {"code": code, "httpStatus": CODES[code].http_status, "number": CODES[code].number}
        for what, code in codes.items()
    }


@pytest.mark.parametrize("transformer", ["plain", "superjson"])
@pytest.mark.parametrize(("version", "link"), [(version, link) for version, links in LINKS.items() for link in links])
def test_the_official_client_gets_results_and_errors(
    version: Literal[10, 11], link: str, transformer: Literal["plain", "superjson"]
) -> None:
    """Whatever link and transformer it has: from a service of its version that is told the transformer."""
    with serve_fake(version=version, transformer="json" if transformer == "plain" else "superjson") as url:
        [told] = told_by(url, f"v{version}-{link}-{transformer}")

    check(told, version)


@pytest.mark.parametrize("version", LINKS)
def test_one_service_is_there_for_all_configurations_of_a_version(version: Literal[10, 11]) -> None:
    """A service that is told no transformer answers each call in the one it was written in."""
    configurations = [f"v{version}-{link}-{name}" for link in LINKS[version] for name in ("plain", "superjson")]
    with serve_fake(version=version) as url:
        told = told_by(url, *configurations)

    assert [one["configuration"] for one in told] == configurations
    for one in told:
        check(one, version)
