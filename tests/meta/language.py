"""Words that the project does not use, with their replacements, and how often a file uses them.

    python tests/meta/language.py [PATH...]

Lists each place, then, for docstrings and comments together, how often "what", "if" and "you" occur in 10,000 words.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]

WORDS = {
    "all else": "everything else",
    "all the same": "still, equal",
    "amid": "during",
    "anew": "again",
    "anybody|whoever": "anyone, a user",
    "befalls?": "happens to",
    "beside": "next to, compared with, in addition to",
    "by now": "already",
    "came to": "returned, raised",
    "couriers?": "exchange",
    "decided rules?": "assumption",
    "doors?": "control API",
    "handles": "test controls",
    "a handle|the handle": "a test control",
    "houses?": "package",
    "in hand": "available",
    "lies?": "wrong answer; or: is in",
    "meanwhile": "while, until then",
    "mends?|mended|mending": "fix",
    "mishaps?": "injected failure",
    "one and the same": "the same",
    "rooms?": "module",
    "sights?": "observation",
    "stands? twice": "duplicate",
    "story|stories": "scenario",
    "taken out": "removed",
    "tells?|told|telling": "says, names, reports, returns",
    "to be had": "available",
    "way out": "escape hatch",
}
"""Regular expressions of words that must not occur in prose -> a suggestion."""

NAMES = {
    "anew", "arrange", "befall", "blot", "blotted", "bought", "came", "copied", "courier", "deepest", "described",
    "door", "fleeting", "hidden", "hinted", "house", "largest", "least", "longest", "made", "mishap", "most", "naps",
    "room", "said", "shortened", "shortest", "sight", "spoilt", "spoken", "standing", "story", "stories", "stranger",
    "telling", "tells", "told", "twin", "unsaid", "unseen", "unshared",
}  # fmt: skip
"""Parts of names that must not occur: names are nouns and verbs of the field."""

FOREIGN_NAMES = {"connection_made"}
"""Names that a library asks for."""

_PROSE = re.compile("|".join(rf"(?P<w{place}>\b(?:{words})\b)" for place, words in enumerate(WORDS)), re.IGNORECASE)
_CODE = re.compile(r"``.*?``|`[^`]*`|^ *(?:>>>|\.\.\.) .*$|https?://\S+", re.MULTILINE)
_STRING_OR_COMMENT = re.compile(
    r'''("""|\'\'\').*?(?<!\\)(?:\\\\)*\1|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|(?P<comment>\#[^\n]*)''', re.DOTALL
)
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")
_NAME_PARTS = re.compile(r"[a-z0-9]+|[A-Z]+(?![a-z])|[A-Z][a-z0-9]*")


class Place(NamedTuple):
    """A word that must not occur, and where it does."""

    file: str
    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.word!r} (write: {self.instead})"


class Prose(NamedTuple):
    """A text that people read, and the line it begins at."""

    line: int
    text: str
    is_documentation: bool


def files() -> list[Path]:
    """Return the files of the project that people read."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "*.py", "*.md", "*.toml", "*.cfg", ".ci/run", "*.js"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
    own = ("tests/meta/language.py", "tests/meta/test_language.py")
    return [ROOT / name for name in listed.stdout.splitlines() if name not in own and (ROOT / name).exists()]


class Text(NamedTuple):
    """A file, as far as people read it: its prose, and the names that it defines, with their lines."""

    prose: list[Prose]
    names: list[tuple[int, str]]


@cache
def read(path: Path) -> Text:
    """Read docstrings, comments, messages and names of a module, or a text file as a whole."""
    content = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return Text([Prose(1, content, is_documentation=False)], [])
    prose = list(_comments(content))
    names: list[tuple[int, str]] = []
    docstrings = set()  # the walk visits a statement before the constant in it
    for node in ast.walk(ast.parse(content)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text)) as docstring):
                docstrings.add(docstring)
                prose.append(Prose(node.lineno, text, is_documentation=True))
            case ast.Constant(value=text) if node not in docstrings and " " in str(text):
                prose.append(Prose(node.lineno, str(text), is_documentation=False))
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.arg(arg=name):
                names.append((node.lineno, name))
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                names.append((node.lineno, name))
    return Text(prose, names)


def _comments(content: str) -> Iterator[Prose]:
    """Yield the comments of a module; the tokenizer of Python takes ten times as long."""
    for found in _STRING_OR_COMMENT.finditer(content):
        if found["comment"]:
            line = 1 + content.count("\n", 0, found.start())
            yield Prose(line, found["comment"], is_documentation=True)


def places(path: Path) -> Iterator[Place]:
    """Yield each word of a file that must not occur."""
    file = path.relative_to(ROOT).as_posix()
    suggestions = list(WORDS.values())
    for text in read(path).prose:
        shown = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text.text)
        for found in _PROSE.finditer(shown):
            number = int((found.lastgroup or "w0")[1:])
            yield Place(file, text.line + shown.count("\n", 0, found.start()), found[0], suggestions[number])
    for line, name in read(path).names:
        if name in FOREIGN_NAMES:
            continue
        parts = {part.lower() for part in _NAME_PARTS.findall(name)}
        for part in sorted(parts & NAMES):
            yield Place(file, line, f"{part} in {name}", "a noun or verb of the field")


def rates(paths: list[Path]) -> dict[str, float]:
    """Return how often some words occur in 10,000 words of docstrings and comments."""
    words = [
        word.lower()
        for path in paths
        if path.suffix == ".py"
        for text in read(path).prose
        if text.is_documentation
        for word in _WORD.findall(_CODE.sub(" ", text.text))
    ]
    return {word: 10_000 * words.count(word) / max(1, len(words)) for word in ("what", "if", "you", "tells", "told")}


if __name__ == "__main__":
    given = [Path(argument).resolve() for argument in sys.argv[1:]]
    chosen = [file for file in files() if not given or any(one == file or one in file.parents for one in given)]
    for file in chosen:
        for found in places(file):
            print(found)
    print({word: round(rate, 1) for word, rate in rates(chosen).items()}, "in 10,000 words")
