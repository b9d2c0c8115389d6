"""`chatarmin-os doctor`: finds out why calls fail, and says what to do.

`CHECKS` is the table of its checks in their order, each a function from an `Examination` to its findings:

    examination.py     what the checks have in common, and the loop that makes them
    findings.py        findings, and their output without secrets
    project.py         the project of Django or Flask that the environment names
    configuration.py   key, base URL, certificate files, variables
    network.py         proxy, name, connection, TLS
    service.py         what the service answers
    outboxes.py        the outbox
    versions.py        Python, this package and its libraries
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os.cli._connection import add_options, run_command
from chatarmin_os.cli._output import print_json
from chatarmin_os.cli._parser import add_json, command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from chatarmin_os.cli.doctor.examination import Check

_CODES = "0 no failure, though there may be warnings; 1 at least one failure; 2 wrong usage"


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "doctor",
        "check key, network, service, settings and versions, and say what to do; it changes nothing",
        "chatarmin-os doctor",
        "chatarmin-os doctor --outbox usage.db --timeout 3",
        "chatarmin-os doctor --json | jq '.findings[] | select(.status == \"failure\")'",
        "DJANGO_SETTINGS_MODULE=shop.settings chatarmin-os doctor     also the settings of the project",
        codes=_CODES,
        run=lambda given: run_command(_doctor, given),
    )
    parser.add_argument(
        "--base-url",
        metavar="URL",
        help="the URL of the service; default: that of the project, OS_BASE_URL, or the public one",
    )
    parser.add_argument("--outbox", metavar="URL", help="the path of an outbox, or redis://HOST:PORT/DB, to look into")
    add_options(parser, bounded="check")
    add_json(parser)


def _doctor(given: Namespace) -> int:
    from chatarmin_os.cli.doctor.examination import DEFAULT_SECONDS, Examination, examine
    from chatarmin_os.cli.doctor.findings import document_of, text_of
    from chatarmin_os.transports import options

    seconds = DEFAULT_SECONDS if given.timeout is None else options.timeout(given.timeout)
    examination = Examination(given, seconds)
    try:
        lines = list(examine(_checks(), examination))
    finally:
        examination.close()
    if given.json:
        print_json(document_of(lines, examination.secrets))
    else:
        print("\n".join(text_of(lines, examination.secrets.hide)))
    return int(any(line.finding.status == "failure" for line in lines))


def _checks() -> list[Check]:
    """Return the table of checks; their modules are imported here, so that other commands do not pay for them."""
    from chatarmin_os.cli.doctor import configuration, network, outboxes, project, service, versions
    from chatarmin_os.cli.doctor.examination import Check

    return [
        Check("Configuration", "project", project.check_project),
        Check("Configuration", "key", configuration.check_key),
        Check("Configuration", "base URL", configuration.check_base_url),
        Check("Configuration", "certificate files", configuration.check_trust, needs=("base URL",)),
        Check("Configuration", "variables", configuration.check_variables),
        Check("Network", "proxy", network.check_proxy, needs=("base URL",)),
        Check("Network", "name", network.check_name, needs=("proxy", "certificate files")),
        Check("Network", "connection", network.check_connection, needs=("name",)),
        Check("Network", "TLS", network.check_tls, needs=("connection",)),
        Check("Service", "response", service.check_response, needs=("TLS",)),
        Check("Service", "clock", service.check_clock, needs=("TLS",)),
        Check("Service", "key accepted", service.check_acceptance, needs=("key", "response")),
        Check("Service", "transformer", service.check_transformer, needs=("response",)),
        Check("Service", "round trip", service.check_round_trip, needs=("response",)),
        Check("Service", "batch", service.check_batch, needs=("key accepted",)),
        Check("Service", "URL length", service.check_url_length, needs=("key accepted",)),
        Check("Outbox", "outbox", outboxes.check_outbox),
        Check("Versions", "Python", versions.check_python),
        Check("Versions", "package", versions.check_package),
        Check("Versions", "libraries", versions.check_requirements),
        Check("Versions", "SQLite", versions.check_sqlite),
    ]
