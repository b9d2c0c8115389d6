"""Every example in a docstring runs, on a fake of its own."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING

import pytest

import chatarmin_os
from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = [module.name for module in pkgutil.walk_packages(chatarmin_os.__path__, "chatarmin_os.")]
    for name in ["chatarmin_os", *names]:
        if not name.endswith("__main__"):
            yield from (test for test in finder.find(import_module(name)) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda example: example.name)
def test_examples_in_docstrings_do_what_they_show(example: doctest.DocTest) -> None:
    """Docstring examples find a `client`, its `fake`, and what made them."""
    if "django" in example.name.lower():
        import_module("django_project")  # configures Django, for these examples only: it takes a second
    fake = FakeTransport(demo_catalogue())
    example.globs |= {
        "FakeTransport": FakeTransport,
        "client": ChatarminOS(transport=fake),
        "demo_catalogue": demo_catalogue,
        "fake": fake,
    }
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report: list[str] = []

    failed, _ = doctest.DocTestRunner(verbose=False, optionflags=flags).run(example, out=report.append)

    assert failed == 0, "".join(report)
