"""Reading a mapping of settings so that all its problems are found at once, each with its place and its kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

from chatarmin_os._input import at_field
from chatarmin_os._json import describe, short_repr
from chatarmin_os._messages import closest
from chatarmin_os.errors import InvalidInput

T = TypeVar("T")

Kind = Literal["no-key", "not-importable", "unknown", "invalid"]


class Problem(NamedTuple):
    """A problem of the settings.

    Attributes:
        kind: `"no-key"`: neither a key nor a transport; `"not-importable"`: the object at a dotted path;
            `"unknown"`: a setting, or an option of a policy or of the gate, that does not exist; `"invalid"`: a value.
        setting: The name of the setting, such as `"FEATURES"`; blank if the whole mapping is invalid.
        error: The error that `ensure_valid` raises; its text begins with the place.
    """

    kind: Kind
    setting: str
    error: InvalidInput


class Place:
    """A place in the settings, and the problems that were found there and elsewhere.

    Example:
        >>> place = Place("CHATARMIN_OS")
        >>> place.inside("GATE").keywords({"timout": 1}, ("timeout", "max_organisations"), "option")
        {}
        >>> [str(problem.error) for problem in place.problems]
        ['CHATARMIN_OS.GATE.timout: no such option; did you mean timeout?']
    """

    def __init__(self, *names: str, problems: list[Problem] | None = None) -> None:
        self._names = names
        self.problems: list[Problem] = [] if problems is None else problems

    def inside(self, name: str) -> Place:
        """Return a place inside this one."""
        return Place(*self._names, name, problems=self.problems)

    def report(self, kind: Kind, error: InvalidInput) -> None:
        """Add a problem at this place."""
        for name in reversed(self._names):
            error = error.at(name)
        setting = (error.field or "").split(".")[1:2]
        self.problems.append(Problem(kind, "".join(setting), error))

    def convert(self, convert: Callable[[Any], T], value: Any, kind: Kind = "invalid") -> T | None:
        """Return the converted value; report an error as a problem of this kind, and return None."""
        *outside, name = self._names
        try:
            return at_field(name, convert)(value)
        except InvalidInput as error:
            Place(*outside, problems=self.problems).report(kind, error)
            return None

    def keywords(self, value: Any, allowed: Iterable[str], noun: str) -> dict[str, Any]:
        """Return the entries of a mapping whose keys are allowed; report the others."""
        if not isinstance(value, Mapping):
            self.report("invalid", InvalidInput(f"expected a mapping, got {describe(value)}"))
            return {}
        allowed = tuple(allowed)
        for key in value:
            if key not in allowed:
                name = key if isinstance(key, str) else short_repr(key)
                close = closest(name, allowed)
                hint = f"did you mean {close}?" if close else f"there are {', '.join(allowed)}"
                self.inside(name).report("unknown", InvalidInput(f"no such {noun}", hint))
        return {key: value[key] for key in allowed if value.get(key) is not None}
