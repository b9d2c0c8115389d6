"""Look the packages of an environment up in the lists of known vulnerabilities: python tests/release/audit.py FOLDER.

FOLDER is its site-packages. The exit code is 1 if a package has a known vulnerability. If no list can be reached, the
output says which packages were not audited, and the exit code is 0: a change does not wait for a network.

pip-audit itself says "No known vulnerabilities found" if it skipped each package, as behind a mirror that has files and
no advisories.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, NamedTuple

OWN = "chatarmin-os"  # its advisories are on no list before it is published
SERVICES = ("pypi", "osv")
_NO_ANSWER = ("ConnectionError", "Timeout", "ServiceError", "HTTPError")


class Audit(NamedTuple):
    """The advisories about the packages.

    Attributes:
        clean: The packages that were looked up and have no known vulnerability.
        vulnerable: A line for each vulnerability.
        skipped: The packages that were not looked up; None: no package was, as the service gave no answer.
    """

    clean: list[str]
    vulnerable: list[str]
    skipped: list[str] | None


def read(report: dict[str, Any]) -> Audit:
    """Read a report of pip-audit.

    Example:
        >>> idna = {"name": "idna", "version": "3.6", "vulns": [{"id": "PYSEC-2024-60", "fix_versions": ["3.7"]}]}
        >>> other = [{"name": "attrs", "version": "26.1.0", "vulns": []}, {"name": "requests", "skip_reason": "404"}]
        >>> read({"dependencies": [idna, *other]})
        Audit(clean=['attrs'], vulnerable=['idna 3.6: PYSEC-2024-60, fixed in 3.7'], skipped=['requests'])
    """
    packages = [one for one in report["dependencies"] if one["name"] != OWN]
    return Audit(
        clean=[one["name"] for one in packages if one.get("vulns") == []],
        vulnerable=[
            f"{one['name']} {one['version']}: {each['id']}, fixed in {' or '.join(each['fix_versions']) or 'none'}"
            for one in packages
            for each in one.get("vulns", [])
        ],
        skipped=[one["name"] for one in packages if "vulns" not in one],
    )


def audit(folder: str, service: str, *options: str) -> Audit:
    """Ask one service, by pip-audit."""
    command = [sys.executable, "-m", "pip_audit", "--path", folder, "-s", service, "-f", "json", "--timeout", "10"]
    command += ["--progress-spinner", "off", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    if done.stdout.startswith("{"):
        return read(json.loads(done.stdout))
    if done.returncode == 1 and any(name in done.stderr for name in _NO_ANSWER):
        return Audit([], [], None)
    sys.exit(f"pip-audit failed with exit code {done.returncode}:\n{done.stderr}")


def main(folder: str, *options: str, services: tuple[str, ...] = SERVICES) -> int:
    """Ask each service until one has looked everything up, and print the results; return the exit code."""
    for service in services:
        found = audit(folder, service, *options)
        if found.clean:
            print(f"{service}: no known vulnerability in {', '.join(found.clean)}")
        if found.vulnerable:
            print("VULNERABLE", *found.vulnerable, sep="\n  ")
            return 1
        if not found.skipped and found.skipped is not None:
            return 0
        missing = "all: it cannot be reached" if found.skipped is None else ", ".join(found.skipped)
        print(f"{service}: NOT AUDITED: {missing}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
