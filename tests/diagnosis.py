"""Runs of `chatarmin-os doctor`, and their findings by check."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple

from chatarmin_os.cli import main

NETWORK = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
VARIABLES = (
    *(name for both in NETWORK for name in (both, both.lower())),
    *("OS_API_KEY", "OS_BASE_URL", "OS_ALLOW_HTTP", "OS_CA_BUNDLE", "OS_CLIENT_CERT", "OS_CLIENT_KEY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONHTTPSVERIFY", "DJANGO_SETTINGS_MODULE", "FLASK_APP"),
)
"""Environment variables that change what the doctor finds; a test that needs one sets it."""


class Diagnosis(NamedTuple):
    """The result of a run with --json."""

    code: int
    found: dict[str, list[dict[str, Any]]]
    counts: dict[str, int]

    def of(self, check: str) -> dict[str, Any]:
        """Return the one finding of a check."""
        [finding] = self.found[check]
        return finding

    def statuses(self) -> dict[str, str]:
        """Return the status of each check's first finding."""
        return {check: findings[0]["status"] for check, findings in self.found.items()}

    def bad(self) -> dict[str, str]:
        """Return the checks that failed or warn, and their texts with their advice."""
        return {
            check: f"{finding['text']} -> {finding['advice']}"
            for check, findings in self.found.items()
            for finding in findings
            if finding["status"] in {"failure", "warning"}
        }


def printed(*arguments: str) -> tuple[int, str]:
    """Run the doctor, and return its exit code and all that it prints."""
    code, out, err = _run(*arguments)
    return code, out + err


def _run(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = main(["doctor", *arguments])
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
    return code, out.getvalue(), err.getvalue()


def diagnose(*arguments: str, secrets: tuple[str, ...] = ()) -> Diagnosis:
    """Run the doctor, and return its findings; assert that it shows none of the secrets."""
    code, text, err = _run("--json", *arguments)
    assert [secret for secret in secrets if secret in text + err] == []
    document = json.loads(text)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in document["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return Diagnosis(code, found, document["counts"])
