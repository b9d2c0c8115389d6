"""Record the scenarios again: `python tests/recorded/record.py`, from tRPC run by Node in front of the fake.

Each scenario has a new product, as `prepare` has it. Look at the changes before you commit them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from prepare import prepared_fake  # noqa: E402 - the tests' folders are not packages
from serving import FakeServer, TrpcServer  # noqa: E402


def main() -> None:
    """Record each scenario."""
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    listed = subprocess.run(  # noqa: S603 - our own tests
        [*pytest, "--collect-only", str(HERE / "test_scenarios.py")], capture_output=True, text=True, check=True
    )
    fakes = FakeServer()
    trpc = TrpcServer(fakes.url)
    try:
        for scenario in (line for line in listed.stdout.splitlines() if "::" in line):
            where = {"OS_API_KEY": fakes.add(prepared_fake()), "OS_BASE_URL": trpc.urls["v11-superjson"]}
            subprocess.run([*pytest, scenario, "--os-record"], env={**os.environ, **where}, check=True)  # noqa: S603 - the same
    finally:
        trpc.close()
        fakes.close()


if __name__ == "__main__":
    main()
