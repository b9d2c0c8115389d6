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
    from pathlib import Path


_NOT_IMPORTED = (
    "chatarmin_os.django.tasks",  # needs Django 6
    "chatarmin_os.integrations.django.admin",  # needs a configured project, as do the next two
    "chatarmin_os.integrations.django.background",  # needs Django 6
    "chatarmin_os.integrations.django.models",
    "chatarmin_os.integrations.django.rows",
)
"""Modules without examples that not every process can import."""


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    names = [module.name for module in pkgutil.walk_packages(chatarmin_os.__path__, "chatarmin_os.")]
    for name in ["chatarmin_os", *names]:
        if not name.endswith("__main__") and name not in _NOT_IMPORTED:
            yield from (test for test in finder.find(import_module(name)) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda example: example.name)
def test_examples_in_docstrings_do_what_they_show(example: doctest.DocTest, tmp_path: Path) -> None:
    """Docstring examples find a `client`, its `fake`, what made them, and a folder."""
    if "django" in example.name.lower():
        import_module("django_project")  # configures Django, for these examples only: it takes a second
        import_module("chatarmin_os.integrations.django.models").OutboxEvent.objects.all().delete()  # of other tests
    fake = FakeTransport(demo_catalogue())
    example.globs |= {
        "FakeTransport": FakeTransport,
        "client": ChatarminOS(transport=fake),
        "demo_catalogue": demo_catalogue,
        "fake": fake,
        "tmp_path": tmp_path,
    }
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    report: list[str] = []

    failed, _ = doctest.DocTestRunner(verbose=False, optionflags=flags).run(example, out=report.append)

    assert failed == 0, "".join(report)
