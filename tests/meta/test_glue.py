"""How many lines of the example applications connect them to this package."""

from __future__ import annotations

from pathlib import Path

import pytest
from glue import glue

EXAMPLES = Path(__file__).parents[2] / "examples"
MAX_LINES = 24
NOT_THE_APPLICATION = {"tests.py", "test_exporter.py", "stripe_stand_in.py"}


@pytest.mark.parametrize("example", ["django_shop", "flask_exporter"])
def test_glue_is_short_and_the_readme_says_how_long(example: str) -> None:
    """An application needs fewer than 25 lines; tests and the stand-in for Stripe do not count."""
    modules = [path for path in (EXAMPLES / example).rglob("*.py") if path.name not in NOT_THE_APPLICATION]
    modules = [path for path in modules if not {".venv", "migrations"} & {*path.parts}]
    count = sum(len(glue(path.read_text(), organisation="organisation_of")) for path in modules)

    assert 10 <= count <= MAX_LINES
    text = (EXAMPLES / example / "README.md").read_text()
    assert f"{count} lines of Python connect" in text or f"{count} of its lines connect" in text


def test_rule_counts_statements_that_mention_the_package() -> None:
    """Headers, decorators, settings and derived names count; bodies, comments and docstrings do not."""
    source = '''
"""A module of chatarmin_os."""
import os
from chatarmin_os import ChatarminOS, TimedOut
client = ChatarminOS(
    # a comment
    api_key=os.environ["KEY"],
)
APPS = [
    "other",
    "chatarmin_os.django",
]
configure(CHATARMIN_OS={
    "FEATURES": {},
}, OTHER={})
@client.needs
def view():
    """Use the client."""
    for one in client.list():
        print("body")
    while client.more:
        break
    if client.ready:
        pass
    with client.metered():
        pass
    try:
        pass
    except TimedOut:
        pass
    except:
        pass
    answer = client.ask()
    return answer
def organisation_of(request):
    """Say whose."""
    return request.headers
print(request.features.sso)
'''
    assert [line.strip() for line in glue(source, organisation="organisation_of")] == [
        "from chatarmin_os import ChatarminOS, TimedOut",
        "client = ChatarminOS(",
        'api_key=os.environ["KEY"],',
        ")",
        '"chatarmin_os.django",',
        "configure(CHATARMIN_OS={",
        '"FEATURES": {},',
        "}, OTHER={})",
        "@client.needs",
        "for one in client.list():",
        "while client.more:",
        "if client.ready:",
        "with client.metered():",
        "except TimedOut:",
        "answer = client.ask()",
        "return answer",
        "def organisation_of(request):",
        "return request.headers",
        "print(request.features.sso)",
    ]
