"""Redaction of recorded calls: a redactor changes inputs and answers; texts that it removed leave refusals too."""

from __future__ import annotations

import html
import json
import re
import threading
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from chatarmin_os._json import is_deeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os._json import JSON
    from chatarmin_os.recording.line import RecordedCall

MAX_DEPTH = 200
"""Levels that redactors walk through: each costs some function calls, of which Python allows a thousand."""

_REMOVED = "redacted"
_TOKENS = re.compile(r"[a-z]+|[0-9]+|.", re.DOTALL)
_COMMON = re.compile(r"[a-z0-9]{2}|.", re.DOTALL)  # found in too many messages
_MAX_START = 8  # tokens
_MAX_ESCAPED = 500  # characters


class Redaction:
    """Applies a redactor to calls, and removes from refusals each text that it removed before."""

    def __init__(self, redact: Callable[[JSON], JSON]) -> None:
        self._redact = redact
        self._removed = _Removed()
        self._lock = threading.Lock()

    def redact(self, recorded: RecordedCall) -> RecordedCall:
        """Return a redacted call.

        Raises:
            ValueError: It is nested deeper than `MAX_DEPTH` levels.
        """
        [(kind, result)] = recorded.outcome.items()
        if is_deeper(recorded.input, MAX_DEPTH) or is_deeper(result, MAX_DEPTH):
            raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        given = self._content(recorded.input)
        if kind == "answer":
            return recorded._replace(input=given, outcome={kind: self._content(result)})
        refusal = {"message": result["message"], "data": result.get("data")}
        with self._lock:
            refusal = _map_texts(refusal, self._removed.replace)
        refusal = self._redact(refusal)
        redacted = {key: refusal[key] for key in ("message", "data") if key in result}
        return recorded._replace(input=given, outcome={kind: {**result, **redacted}})

    def _content(self, content: JSON) -> JSON:
        """Return a redacted input or answer, and remember the texts that were removed."""
        redacted = self._redact(content)
        if redacted != content:
            with self._lock:
                for old, new in _changes(content, redacted):
                    self._removed.add(old, new)
        return redacted


class _Removed:
    """The texts that were removed, each with its replacement.

    The first tokens of a text and its length find it, so that a message is read once, however many texts there are.
    Letter case does not count; a text is not found inside a word.
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._sizes: dict[str, set[int]] = {}  # of the starts, by their first token
        self._lengths: dict[str, set[int]] = {}  # of the texts, by their starts
        self._replacements: dict[str, str] = {}

    def add(self, old: str, new: str) -> None:
        """Add a text, and the forms in which messages quote it."""
        if old in self._known:
            return
        self._known.add(old)
        for form in _forms(old.strip()):
            if form and not _COMMON.fullmatch(form):
                tokens = _TOKENS.findall(_lower(form))[:_MAX_START]
                self._sizes.setdefault(tokens[0], set()).add(len(tokens))
                self._lengths.setdefault("".join(tokens), set()).add(len(form))
                self._replacements[_lower(form)] = new

    def replace(self, text: str) -> str:
        """Return *text* without the removed texts; of two that begin at the same place, the longer is replaced."""
        lowered = _lower(text)
        places = [found.start() for found in _TOKENS.finditer(lowered)] + [len(lowered)]
        ends = set(places)
        done: list[str] = []
        kept = 0
        for index, place in enumerate(places[:-1]):
            if place < kept:
                continue
            sizes = self._sizes.get(lowered[place : places[index + 1]], ())
            starts = [lowered[place : places[min(index + size, len(places) - 1)]] for size in sizes]
            reached = {place + length for start in starts for length in self._lengths.get(start, ())} & ends
            for end in sorted(reached, reverse=True):
                if (new := self._replacements.get(lowered[place:end])) is not None:
                    done += [text[kept:place], new]
                    kept = end
                    break
        return "".join([*done, text[kept:]])


def _forms(text: str) -> set[str]:
    """Return a text as messages quote it: unchanged, or escaped as in JSON, URLs, HTML and SQL."""
    if len(text) > _MAX_ESCAPED:
        return {text}
    well_formed = text.encode(errors="replace").decode()
    escaped = {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace("'", "''")}
    in_pages = {html.escape(text), html.escape(text).replace("&#x27;", "&#39;")}
    composed = {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}
    return (
        {text, quote(well_formed), quote(well_formed, safe=""), quote_plus(well_formed)} | escaped | in_pages | composed
    )


def _lower(text: str) -> str:
    """Return a text of the same length in lower case; letters whose lower case is longer stay."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(small if len(small := letter.lower()) == 1 else letter for letter in text)


def _changes(before: JSON, after: JSON) -> Iterator[tuple[str, str]]:
    """Yield the texts that a redactor has changed, each with its replacement."""
    if isinstance(before, str):
        if before != after:
            yield before, after if isinstance(after, str) else _REMOVED
    elif isinstance(before, list):
        same = isinstance(after, list) and len(after) == len(before)
        for place, item in enumerate(before):
            yield from _changes(item, after[place] if same else _REMOVED)
    elif isinstance(before, dict):
        others = after if isinstance(after, dict) and len(after) == len(before) else {}
        for (key, value), other in zip(before.items(), others.values() or [_REMOVED] * len(before), strict=True):
            yield from _changes(value, others.get(key, other))


def _map_texts(content: JSON, replace: Callable[[str], str]) -> JSON:
    if isinstance(content, str):
        return replace(content)
    if isinstance(content, dict):
        return {replace(key): _map_texts(value, replace) for key, value in content.items()}
    return [_map_texts(item, replace) for item in content] if isinstance(content, list) else content
