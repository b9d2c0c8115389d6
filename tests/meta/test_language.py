"""The project's language: the field's standard terms, and no private dialect."""

from __future__ import annotations

import language
import pytest

MAX_WHATS = 20
"""In 10,000 words of docstrings and comments: more are headless relative clauses ("What is refused is ...")."""


def test_files_have_no_word_of_the_list() -> None:
    """Each word of `language.WORDS` and `language.NAMES` has a better one."""
    found = [str(place) for path in language.files() for place in language.places(path)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("folder", ["chatarmin_os", "tests", "benchmarks"])
def test_docstrings_and_comments_are_plain(folder: str) -> None:
    """Sentences have subjects that name something."""
    rates = language.rates([path for path in language.files() if path.is_relative_to(language.ROOT / folder)])

    assert rates["what"] < MAX_WHATS
    assert rates["told"] == rates["tells"] == 0
