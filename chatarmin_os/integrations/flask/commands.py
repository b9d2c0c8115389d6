"""The commands `flask chatarmin status|check|outbox`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable

import click
from flask.cli import AppGroup

from chatarmin_os._unwritable import ending_if_unwritable
from chatarmin_os.errors import ChatarminError
from chatarmin_os.integrations.flask.services import current_services
from chatarmin_os.web import report

_NAME = "flask chatarmin"

group = AppGroup("chatarmin", help="Look at the features of an organisation.")


@group.command("status", help="Show the company of ORG, your id of an organisation, and its features.")
@click.argument("org")
def status(org: str) -> None:
    """Print the features of an organisation."""
    _print(lambda: report.status_lines(current_services().gate, org))


@group.command("check", help="Show whether ORG, your id of an organisation, may use FEATURE now, and why.")
@click.argument("org")
@click.argument("feature")
def check(org: str, feature: str) -> None:
    """Print the decision about one feature."""
    _print(lambda: report.check_lines(current_services().gate, org, feature))


@group.command(
    "outbox",
    short_help="Show the usage that waits, send it, and decide about dead events.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def outbox(arguments: tuple[str, ...]) -> None:
    """Run a command about the outbox; its arguments are those of `chatarmin-os outbox`."""
    from chatarmin_os.outbox.arguments import CODES  # only this command needs them
    from chatarmin_os.web.outbox import add_commands, run_command
    from chatarmin_os.web.report import exit_code

    with ending_if_unwritable(_NAME):
        parser = ArgumentParser("flask chatarmin outbox", epilog=f"Exit codes: {CODES}.")
        add_commands(parser)
        options = vars(parser.parse_args(arguments))
        try:
            output, code = run_command(current_services(), options)
        except ChatarminError as error:
            click.echo(f"{_NAME}: {error}", err=True)
            raise SystemExit(exit_code(error)) from None
        click.echo(output)
        raise SystemExit(code)


def _print(lines: Callable[[], list[str]]) -> None:
    """Print lines, or the error of the service on one line."""
    with ending_if_unwritable(_NAME):
        try:
            click.echo("\n".join(lines()))
        except ChatarminError as error:
            click.echo(f"{_NAME}: {error}", err=True)
            raise SystemExit(report.exit_code(error)) from None
