"""`chatarmin-os completion`: a script with which a shell completes commands, options and procedures."""

from __future__ import annotations

import re
import shlex
from argparse import SUPPRESS, Action, _SubParsersAction
from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os.cli._parser import command

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

_SHELLS = ("bash", "zsh", "fish")
_USAGE = {
    "bash": "# source <(chatarmin-os completion bash), for example in ~/.bashrc",
    "zsh": "# source <(chatarmin-os completion zsh), in ~/.zshrc after compinit",
    "fish": "# chatarmin-os completion fish | source, for example in ~/.config/fish/config.fish",
}
_FILES = ("FILE",)  # the metavars of arguments that are files


class Words(NamedTuple):
    """The words that may follow a command, each with its help.

    Attributes:
        command: The command, as a tuple of words.
        words: Subcommands and choices of positional arguments.
        options: The options.
        values: By option, its choices, or None for a file; an option with another value is missing.
        takes_files: Whether a positional argument is a file.
        flags: The options without a value.
    """

    command: tuple[str, ...]
    words: dict[str, str]
    options: dict[str, str]
    values: dict[str, list[str] | None]
    takes_files: bool
    flags: set[str]


def add_command(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = command(
        commands,
        "completion",
        "print a script with which your shell completes commands, options and procedures",
        "source <(chatarmin-os completion bash)",
        "source <(chatarmin-os completion zsh)",
        "chatarmin-os completion fish | source",
        codes="0 success; 2 wrong usage",
        run=_completion,
    )
    parser.add_argument("shell", metavar="SHELL", choices=_SHELLS, help=f"one of {', '.join(_SHELLS)}")


def _completion(given: Namespace) -> int:
    from chatarmin_os.cli import build_parser

    commands = list(_commands(build_parser()))
    script = {"bash": _bash, "zsh": _zsh, "fish": _fish}[given.shell]
    print("\n".join([_USAGE[given.shell], *script(commands)]))
    return 0


def _commands(parser: ArgumentParser, command: tuple[str, ...] = ()) -> Iterator[Words]:
    """Yield the words of each command, read from its parser."""
    words: dict[str, str] = {}
    options: dict[str, str] = {}
    values: dict[str, list[str] | None] = {}
    flags: set[str] = set()
    takes_files = False
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        if isinstance(action, _SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            for name, below in action.choices.items():
                words[name] = helps[name]
                yield from _commands(below, (*command, name))
        elif action.option_strings:
            options.update(dict.fromkeys(action.option_strings, _help(action)))
            if action.nargs == 0:
                flags.update(action.option_strings)
            elif action.metavar in _FILES or action.choices:
                values.update(dict.fromkeys(action.option_strings, _values(action)))
        else:
            takes_files |= action.metavar in _FILES
            words.update(dict.fromkeys(_values(action) or (), ""))
    yield Words(command, words, options, values, takes_files, flags)


def _values(action: Action) -> list[str] | None:
    """Return the choices of an argument, None if it takes any text or file."""
    if action.dest == "path":
        from chatarmin_os.procedures.table import PROCEDURES

        return list(PROCEDURES)
    return None if action.choices is None else list(map(str, action.choices))


def _help(action: Action) -> str:
    return "" if action.help in {None, SUPPRESS} else re.sub(r" \(default: %\(default\)s\)$", "", str(action.help))


def _bash(commands: list[Words]) -> Iterator[str]:
    yield "_chatarmin_os() {"
    yield '    local word="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="" i'
    yield "    for ((i = 1; i < COMP_CWORD; i++)); do"
    yield from _cases(
        commands,
        word="${COMP_WORDS[i]}",
        words='COMPREPLY=($(compgen -W "{}" -- "$word"))',
        files="COMPREPLY=()",  # bash then completes file names
        options='[[ "$word" == -* ]] && COMPREPLY=($(compgen -W "{}" -- "$word"))',
    )
    yield "}"
    yield "complete -o default -F _chatarmin_os chatarmin-os"


def _zsh(commands: list[Words]) -> Iterator[str]:
    yield "_chatarmin_os() {"
    yield '    local before="${words[CURRENT-1]}" command="" i'
    yield "    for ((i = 2; i < CURRENT; i++)); do"
    yield from _cases(
        commands,
        word="${words[i]}",
        words="compadd -- {}",
        files="_files",
        options='[[ "$words[CURRENT]" == -* ]] && compadd -- {} || _files',
    )
    yield "}"
    yield "compdef _chatarmin_os chatarmin-os"


def _cases(commands: list[Words], *, word: str, words: str, files: str, options: str) -> Iterator[str]:
    """Yield the lines that find the command in a loop and complete the next word.

    Args:
        commands: The words of each command.
        word: The shell's expression for the word of the loop.
        words: The statement that completes words, which replace `{}`.
        files: The statement that completes files.
        options: The statement that completes options, which replace `{}`, or files.
    """
    known = "|".join(f'"{" ".join(one.command[:-1])} {one.command[-1]}"' for one in commands if one.command)
    yield f'        case "$command {word}" in'
    yield f'            ({known}) command="${{command:+$command }}{word}" ;;'
    yield "        esac"
    yield "    done"
    yield '    case "$command $before" in'
    for one in commands:
        for option, values in one.values.items():
            act = files if values is None else words.format(" ".join(values))
            yield f'        ("{" ".join(one.command)} {option}") {act}; return ;;'
    yield "    esac"
    yield '    case "$command" in'
    for one in commands:
        act = (options if one.takes_files else words).format(" ".join([*one.words, *one.options]))
        yield f'        ("{" ".join(one.command)}") {act} ;;'
    yield "    esac"


def _fish(commands: list[Words]) -> Iterator[str]:
    known = " ".join(f'"{" ".join(one.command[:-1])} {one.command[-1]}"' for one in commands if one.command)
    yield "function __chatarmin_os_is"
    yield '    set -l command ""'
    yield "    for word in (commandline -opc)[2..-1]"
    yield '        switch "$command $word"'
    yield f"            case {known}"
    yield '                set command (string trim "$command $word")'
    yield "        end"
    yield "    end"
    yield '    test "$command" = "$argv[1]"'
    yield "end"
    yield "complete -c chatarmin-os -f"
    for one in commands:
        begin = f"complete -c chatarmin-os -n '__chatarmin_os_is \"{' '.join(one.command)}\"'"
        for word, help_text in one.words.items():
            yield f"{begin} -a {word}{_fish_help(help_text)}"
        if one.takes_files:
            yield f"{begin} -F"
        for option, help_text in one.options.items():
            name = f"-l {option.removeprefix('--')}" if option.startswith("--") else f"-s {option.removeprefix('-')}"
            yield f"{begin} {name}{_fish_value(one, option)}{_fish_help(help_text)}"


def _fish_value(words: Words, option: str) -> str:
    """Return the fish options for the value of an option."""
    if option in words.flags:
        return ""
    values = words.values.get(option, [])
    if values is None:
        return " -r -F"
    return f" -x -a {shlex.quote(' '.join(values))}" if values else " -x"


def _fish_help(help_text: str) -> str:
    """Return the fish option for the help of a word."""
    return f" -d {shlex.quote(help_text)}" if help_text else ""
