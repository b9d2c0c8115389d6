"""Many cases in one test: pytest spends a millisecond on a test, and most of these take less."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MAX_SHOWN = 10


def check_each(cases: Iterable[T], check: Callable[[T], object]) -> None:
    """Check all cases, and fail with those that do not pass and their errors."""
    count, failures = 0, []
    for case in cases:
        count += 1
        try:
            check(case)
        except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - the check may fail in any way
            failures.append(f"{case}: {type(error).__name__}: {error}")
    assert count, "there is no case"
    if failures:
        shown = "\n".join(failures[:MAX_SHOWN])
        pytest.fail(f"{len(failures)} of {count} cases fail, among them:\n{shown}", pytrace=False)
