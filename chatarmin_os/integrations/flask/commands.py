"""The commands `flask chatarmin status|check|outbox`."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import TypeVar

import click
from flask.cli import AppGroup

from chatarmin_os.errors import ChatarminError
from chatarmin_os.integrations.flask.services import current_services
from chatarmin_os.web import report

T = TypeVar("T")

group = AppGroup("chatarmin", help="Look at the features of an organisation.")


@group.command("status", help="Show the company of ORG, your id of an organisation, and its features.")
@click.argument("org")
def status(org: str) -> None:
    """Print the features of an organisation."""
    lines = _result_of(lambda: report.status_lines(current_services().gate, org))
    click.echo("\n".join(lines))


@group.command("check", help="Show whether ORG, your id of an organisation, may use FEATURE now, and why.")
@click.argument("org")
@click.argument("feature")
def check(org: str, feature: str) -> None:
    """Print the decision about one feature."""
    lines = _result_of(lambda: report.check_lines(current_services().gate, org, feature))
    click.echo("\n".join(lines))


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

    parser = ArgumentParser("flask chatarmin outbox", epilog=f"Exit codes: {CODES}.")
    add_commands(parser)
    options = vars(parser.parse_args(arguments))
    output, code = _result_of(lambda: run_command(current_services(), options))
    click.echo(output)
    raise SystemExit(code)


def _result_of(action: Callable[[], T]) -> T:
    """Return the result of an action, or print its error on one line and exit."""
    try:
        return action()
    except ChatarminError as error:
        click.echo(f"flask chatarmin: {error}", err=True)
        raise SystemExit(report.exit_code(error)) from None
