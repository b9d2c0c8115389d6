"""How commands are declared: each with a sentence, examples and its exit codes."""

from __future__ import annotations

import re
import sys
from argparse import Action, ArgumentError, ArgumentParser, RawDescriptionHelpFormatter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from chatarmin_os.cli._output import without_keys

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterable, Sequence

_JSON = "print one JSON document, for programs"


_API_KEY = re.compile(r"(--api-key[= ])\S+")
_NO_KEYS = "other users of this machine can read arguments: use OS_API_KEY or --api-key-file FILE"

MAX_WORD = 100
"""Characters of a word that is compared with known ones."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a question about the known word that is most like one, or an empty text if none is.

    Example:
        >>> did_you_mean("chek", ["call", "check"])
        'did you mean check?'
        >>> did_you_mean("x", ["call", "check"])
        ''
    """
    near = get_close_matches(word[:MAX_WORD], list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


class Parser(ArgumentParser):
    """Suggests what a mistyped command, option or choice may have meant, and never shows an API key."""

    _given: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Print usage and message, with what mistyped options may have meant, and exit."""
        words = [word.partition("=")[0] for word in self._given if word.startswith("--")]
        options = (word for word in words if word not in {"--", *self._option_string_actions})
        hints = dict.fromkeys(filter(None, (did_you_mean(one, self._option_string_actions) for one in options)))
        if "--api-key" in words:  # a guess that most people make, with a key of any form behind it
            hints = {_NO_KEYS: None}
        super().error(without_keys("; ".join([_API_KEY.sub(r"\1[key]", message), *hints])))

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - it has overloads
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        """Refuse unknown arguments here, where the options that there are are known."""
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
    commands: _SubParsersAction[ArgumentParser], name: str, what: str, *examples: str, codes: str, **defaults: Any
) -> ArgumentParser:
    """Add a command to others and return its parser; *what* is a sentence without its capital and its point."""
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog="\n  ".join(["examples:", *examples]) + f"\n\nexit codes: {codes}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(**defaults)
    return parser


def add_json(parser: ArgumentParser) -> None:
    """Add the option that makes a command's output one for programs."""
    parser.add_argument("--json", action="store_true", help=_JSON)
