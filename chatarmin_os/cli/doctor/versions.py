"""Checks of the versions of Python, of this package, of what it needs, and of the libraries below Python."""

from __future__ import annotations

import re
import sqlite3
import ssl
import sys
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, NamedTuple

from chatarmin_os._version import __version__
from chatarmin_os.cli.doctor.findings import Finding, failure, ok, unchecked, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chatarmin_os.cli.doctor.examination import Examination

PACKAGE = "chatarmin-os"
_MIN_PYTHON = (3, 11)
_OTHERS = ("certifi",)  # comes with requests, and is shown for its date
_BOUND = re.compile(r"(>=|<=|==|!=|<|>|~=)\s*([0-9][0-9.]*)")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")
# The first versions in which a checkpoint of the log loses no transaction that is committed at that moment.
_FIXED_SQLITE = ((3, 44, 6), (3, 50, 7), (3, 51, 3))


def check_python(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - as all checks
    """Report the version of Python and its OpenSSL."""
    python = ".".join(map(str, sys.version_info[:3]))
    yield ok(f"{python} with {ssl.OPENSSL_VERSION}", python=python, openssl=ssl.OPENSSL_VERSION)


def check_package(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - as all checks
    """Report the version of this package, and find a second one."""
    found = sorted({(one.version, str(one.locate_file(""))) for one in distributions(name=PACKAGE)})
    versions = {version for version, _ in found}
    if not found:
        yield ok(f"{PACKAGE} {__version__}, not installed by pip", version=__version__)
    elif len(versions) > 1:
        places = ", ".join(f"{version} in {place}" for version, place in found)
        yield warning(
            f"several versions are installed: {places}", f"uninstall {PACKAGE} until none is left, and install one"
        )
    elif versions != {__version__}:
        text = f"version {__version__} runs, {', '.join(versions)} is installed"
        yield warning(text, "install it again: another folder comes first on the path, or the files were changed")
    else:
        yield ok(f"{PACKAGE} {__version__}", version=__version__)


class Requirement(NamedTuple):
    """A requirement of the package: its name, its range as text, and the extra that it is of; blank without one."""

    name: str
    bounds: str
    extra: str


def parse_requirement(text: str) -> Requirement:
    """Return a requirement of the metadata.

    Example:
        >>> parse_requirement('flask[async]<4,>=3; extra == "flask"')
        Requirement(name='flask', bounds='<4,>=3', extra='flask')
        >>> parse_requirement("attrs>=24.1")
        Requirement(name='attrs', bounds='>=24.1', extra='')
    """
    what, _, marker = text.partition(";")
    name, extra = _REQUIREMENT.findall(what)[0], "".join(_EXTRA.findall(marker)[:1])
    return Requirement(name, ",".join("".join(bound) for bound in _BOUND.findall(what)), extra)


def is_in_range(version: str, bounds: str) -> bool:
    """Return whether a version is in a range of `>=` and `<`, the forms that this package uses.

    Example:
        >>> [is_in_range(version, "<3,>=2.32.3") for version in ("2.32.3", "2.40rc1", "2.32", "3.0")]
        [True, True, False, False]
    """
    own = _numbers(version)
    compare = {">=": own.__ge__, "<": own.__lt__}
    return all(compare[sign](_numbers(bound)) for sign, bound in _BOUND.findall(bounds) if sign in compare)


def _numbers(version: str) -> tuple[int, ...]:
    """Return the numbers of a release, without zeros at its end."""
    release = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    numbers = [int(part) for part in release.group().split(".")] if release else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def check_requirements(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - as all checks
    """Compare the installed libraries with the ranges that the package asks for."""
    try:
        requirements = [parse_requirement(text) for text in distribution(PACKAGE).requires or ()]
    except PackageNotFoundError:
        yield unchecked("the package is not installed by pip, so that its ranges are unknown")
        return
    yield _needed([one for one in requirements if not one.extra])
    yield _extras([one for one in requirements if one.extra])


def _needed(requirements: list[Requirement]) -> Finding:
    versions = {one.name: _version_of(one.name) for one in requirements}
    wrong = [one for one in requirements if not is_in_range(versions[one.name] or "", one.bounds)]
    versions |= {name: _version_of(name) for name in _OTHERS}
    text = ", ".join(f"{name} {version or 'is missing'}" for name, version in versions.items())
    if not wrong:
        return ok(text, **versions)
    ranges = " ".join(f'"{one.name}{one.bounds}"' for one in wrong)
    return failure(text, f"pip install {ranges}", **versions)


def _extras(requirements: list[Requirement]) -> Finding:
    by_extra: dict[str, list[Requirement]] = defaultdict(list)
    for one in requirements:
        by_extra[one.extra].append(one)
    found = {one.name: _version_of(one.name) for one in requirements}
    complete = [extra for extra, ones in by_extra.items() if all(found[one.name] for one in ones)]
    wrong = {
        one.name: one.bounds
        for extra in complete
        for one in by_extra[extra]
        if not is_in_range(found[one.name] or "", one.bounds)
    }
    shown = ", ".join(
        f"{extra} ({', '.join(f'{one.name} {found[one.name]}' for one in by_extra[extra])})" for extra in complete
    )
    text = f"extras: {shown or 'none'}"
    if not wrong:
        return ok(text, extras=complete)
    ranges = " ".join(f'"{name}{bounds}"' for name, bounds in wrong.items())
    return warning(text, f"if you use these: pip install {ranges}", extras=complete)


def _version_of(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def check_sqlite(examination: Examination) -> Iterator[Finding]:  # noqa: ARG001 - as all checks
    """Report the version of SQLite, and whether it has the fault of its write-ahead log."""
    version = sqlite3.sqlite_version
    if has_lossy_log(sqlite3.sqlite_version_info):
        text = (
            f"{version}, in which a checkpoint of a write-ahead log can lose transactions (fixed in 3.51.3, 3.50.7 and "
            "3.44.6); outboxes and checkpoints of this package avoid it"
        )
        yield ok(f"{text}; open their files with nothing else", version=version, has_lossy_log=True)
    else:
        yield ok(version, version=version, has_lossy_log=False)


def has_lossy_log(version: tuple[int, int, int]) -> bool:
    """Return whether a version of SQLite can lose transactions when the log is moved into the file.

    Example:
        >>> [has_lossy_log(version) for version in ((3, 40, 1), (3, 44, 6), (3, 45, 0), (3, 50, 7), (3, 51, 3))]
        [True, False, True, False, False]
    """
    same_line = [fixed for fixed in _FIXED_SQLITE if fixed[:2] == version[:2]]
    return version < (same_line or [_FIXED_SQLITE[-1]])[0]
