"""The parser of the command line, and how a command is declared: a sentence, examples and exit codes."""

from __future__ import annotations

import re
import sys
from argparse import Action, ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, NoReturn

from chatarmin_os._messages import closest, redact_keys

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterable, Sequence

_JSON = "print one JSON document, for programs"

_API_KEY = re.compile(r"(--api-key[= ])\S+")
_NO_KEYS = "other users of this machine can read arguments; use OS_API_KEY or --api-key-file FILE"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question with the known word that is most similar, or an empty text if none is similar.

    Example:
        >>> did_you_mean("chek", ["call", "check"])
        'did you mean check?'
        >>> did_you_mean("x", ["call", "check"])
        ''
    """
    near = closest(word, known)
    return f"did you mean {near}?" if near else ""


class Parser(ArgumentParser):
    """Suggests a known command, option or choice for a mistyped one, and never prints an API key."""

    _given: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with suggestions for mistyped options, and exit."""
        words = [word.partition("=")[0] for word in self._given if word.startswith("--")]
        options = (word for word in words if word not in {"--", *self._option_string_actions})
        hints = dict.fromkeys(filter(None, (did_you_mean(one, self._option_string_actions) for one in options)))
        if "--api-key" in words:  # most people try this option, followed by a key
            hints = {_NO_KEYS: None}
        super().error(redact_keys("; ".join([_API_KEY.sub(r"\1[key]", message), *hints])))

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - it has overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Refuse unknown arguments, with the parser that knows the options of the command."""
        self._given = sys.argv[1:] if args is None else args
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown

    def _check_value(self, action: Action, value: Any, *more: Any) -> None:
        try:
            super()._check_value(action, value, *more)
        except ArgumentError as error:
            hint = did_you_mean(str(value), map(str, action.choices or ()))
            error.message += f"; {hint}" if hint else ""
            raise


def command(
    commands: _SubParsersAction[ArgumentParser], name: str, purpose: str, *examples: str, codes: str, **defaults: Any
) -> ArgumentParser:
    """Add a command to others and return its parser.

    Args:
        commands: The others.
        name: Its name.
        purpose: A sentence without capital and full stop.
        examples: Command lines.
        codes: Its exit codes.
        defaults: Values for the namespace, such as `run`, the function that runs it.
    """
    parser = commands.add_parser(
        name,
        help=purpose,
        description=f"{purpose[0].upper()}{purpose[1:]}.",
        epilog="\n  ".join(["examples:", *examples]) + f"\n\nexit codes: {codes}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(**defaults)
    return parser


def add_json(parser: ArgumentParser) -> None:
    """Add the option for JSON output."""
    parser.add_argument("--json", action="store_true", help=_JSON)
