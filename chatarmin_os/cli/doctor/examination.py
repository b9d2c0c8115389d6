"""One run of the doctor: what its checks have in common, and the order in which they are made."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from chatarmin_os.cli.doctor.findings import Finding, Line, Secrets, failure, unchecked

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chatarmin_os._call import Call
    from chatarmin_os.errors import ApiError
    from chatarmin_os.transports.http.probe import Connected, Probe, Response
    from chatarmin_os.transports.http.retry import Deadline
    from chatarmin_os.transports.http.trust import Trust
    from chatarmin_os.trpc.client import Envelope, Transformer
    from chatarmin_os.web.settings import Settings

DEFAULT_SECONDS = 10.0


class Project:
    """The project of a web framework that the environment names.

    Attributes:
        place: How messages name its mapping of settings.
        settings: The settings.
        problems: Findings of the system checks, or of the settings themselves.
        open_database_outbox: Returns the outbox that is in the database.
    """

    def __init__(
        self, name: str, settings: Settings, problems: list[Finding], open_database_outbox: Callable[[], Any]
    ) -> None:
        self.place = f"CHATARMIN_OS of {name}"
        self.settings, self.problems = settings, problems
        self.open_database_outbox = open_database_outbox

    def call_seconds(self) -> float:
        """Return the timeout of its calls."""
        from chatarmin_os.web.settings import TIMEOUT

        return TIMEOUT if self.settings.timeout is None else self.settings.timeout


class Examination:
    """What the checks of one run found out for those after them.

    Attributes:
        given: The options of the command line.
        seconds: The deadline of each check that uses the network.
        secrets: Everything that must not be shown.
        project: The project of a web framework that the environment names; None without one.
        key: Returns the key; None without a valid one.
        base_url: The valid base URL.
        proxies: The proxies, as of `proxies_for`.
        trust: The authorities, and the client's certificate.
        connected: The attempt to connect.
        response: The response to the first query.
        error: The refusal of the first query; None if it was answered.
        envelope: The envelope in that response.
        transformer: The transformer that requests are written with.
    """

    def __init__(self, given: Namespace, seconds: float) -> None:
        self.given, self.seconds = given, seconds
        self.secrets = Secrets()
        self.project: Project | None = None
        self.key: Callable[[], str] | None = None
        self.base_url = ""
        self.proxies: dict[str, str] = {}
        self.trust: Trust
        self.connected: Connected
        self.response: Response | None = None
        self.envelope: Envelope
        self.error: ApiError | None = None
        self.transformer: Transformer = "json"
        self._probe: Probe | None = None

    @property
    def is_tls(self) -> bool:
        """Whether the service is reached by https."""
        return self.base_url.startswith("https:")

    def call_seconds(self) -> float:
        """Return the timeout of calls: that of the project, else of the command."""
        return self.project.call_seconds() if self.project else self.seconds

    def deadline(self) -> Deadline:
        """Return a new deadline."""
        from chatarmin_os.transports.http.retry import Deadline

        return Deadline(self.seconds)

    @property
    def probe(self) -> Probe:
        """The connection to the service, which needs a base URL, proxies and trust."""
        if self._probe is None:
            from chatarmin_os.transports.http.probe import Probe

            self._probe = Probe(self.base_url, self.key, proxies=self.proxies, trust=self.trust)
        return self._probe

    def ask(self, calls: Sequence[Call], deadline: Deadline, padding: str = "") -> Response:
        """Send queries in one request."""
        return self.probe.ask(calls, self.transformer, deadline, padding)

    def close(self) -> None:
        """Close the connection."""
        if self._probe is not None:
            self._probe.close()


class Check(NamedTuple):
    """A line of the table of checks.

    Attributes:
        section: The heading.
        name: The name, which is unique.
        run: Returns the findings; none if there is nothing to say.
        needs: The checks without which this one has no meaning: it is not made if one of them failed.
    """

    section: str
    name: str
    run: Callable[[Examination], Iterable[Finding]]
    needs: tuple[str, ...] = ()


def examine(checks: Iterable[Check], examination: Examination) -> Iterator[Line]:
    """Make the checks in order and yield their findings; one that fails stops only those that need it."""
    failed: set[str] = set()
    for check in checks:
        missing = [need for need in check.needs if need in failed]
        findings = [unchecked(f"needs {', '.join(missing)}")] if missing else _run(check, examination)
        if any(finding.status in {"failure", "not checked"} for finding in findings):
            failed.add(check.name)
        for finding in findings:
            yield Line(check.section, check.name, finding)


def _run(check: Check, examination: Examination) -> list[Finding]:
    """Return the findings of a check; if it fails, those before and its failure."""
    findings: list[Finding] = []
    try:
        for finding in check.run(examination):
            findings.append(finding)  # noqa: PERF402 - what came before an error is kept
    except Exception as error:  # noqa: BLE001 - of a project, a database or a mistake here: the others go on
        findings.append(failure(f"the check itself failed with {type(error).__name__}", "please report it"))
    return findings


def environment(*names: str) -> dict[str, str]:
    """Return those of the variables of the environment that are not blank."""
    return {name: os.environ[name] for name in names if os.environ.get(name, "").strip()}


def milliseconds(seconds: float) -> Any:
    """Return seconds as milliseconds with one digit after the point.

    Example:
        >>> milliseconds(0.01234)
        12.3
    """
    return round(seconds * 1000, 1)
