"""The commands of `manage.py`."""

from __future__ import annotations

import json
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from unwritable import UNWRITABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from chatarmin_os.fake import FakeTransport

pytest_plugins = ["django_project.fixtures"]


def run(*arguments: str, **options: Any) -> str:
    """Return the output of a command."""
    output = StringIO()
    call_command(*arguments, stdout=output, **options)
    return output.getvalue()


@pytest.mark.usefixtures("fake")
def test_check_shows_the_decision() -> None:
    """The table has the decision and what it rests on."""
    lines = run("chatarmin_check", "org_1", "ai_credit").splitlines()

    assert lines[0].split() == ["feature", "allowed", "reason", "used", "limit", "valid", "until", "source"]
    assert lines[2].split() == ["ai_credit", "yes", "allowed", "0", "10000", "-", "live"]


@pytest.mark.parametrize(
    ("org", "feature", "can_use", "reason"),
    [
        ("org_1", "api_access", True, "allowed"),
        ("org_1", "sso", False, "disabled"),
        ("org_9", "sso", False, "not_linked"),
    ],
    ids=["allowed", "denied", "not-linked"],
)
@pytest.mark.usefixtures("fake")
def test_check_as_json(org: str, feature: str, can_use: object, reason: str) -> None:
    """The document has the fields of `chatarmin-os check --json`, and the decision."""
    document = json.loads(run("chatarmin_check", org, feature, "--json"))

    assert (document["feature_code"], document["can_use"], document["allowed"]) == (feature, can_use, can_use)
    assert document["reason"] == reason


@pytest.mark.usefixtures("fake")
def test_status_shows_company_and_features() -> None:
    """The table has a row per feature."""
    output = run("chatarmin_status", "org_1")

    assert output.startswith("org_1 is ")
    assert len(output.splitlines()) == 8
    assert "not linked" in run("chatarmin_status", "org_9")


@pytest.mark.usefixtures("fake")
def test_status_as_json() -> None:
    """The document has the fields of `chatarmin-os status --json`, and the features."""
    document = json.loads(run("chatarmin_status", "org_1", "--json"))

    assert document["active_subscriptions"] == []
    assert document["enabled_features_count"] == 4
    assert [feature["feature_code"] for feature in document["features"]][:2] == ["ai_credit", "seats"]


@pytest.mark.parametrize(
    ("error", "code", "arguments"),
    [
        ("UNAUTHORIZED", 1, ["chatarmin_status", "org_1", "--json"]),
        ("UNAUTHORIZED", 1, ["chatarmin_check", "org_1", "sso"]),
        ("lost", 3, ["chatarmin_status", "org_1"]),
        (None, 1, ["chatarmin_status", "org_9", "--json"]),
        (None, 2, ["chatarmin_check", " ", "sso"]),
    ],
    ids=["refused-status", "refused-check", "no-response", "not-linked", "wrong-usage"],
)
def test_error_has_the_exit_code_of_the_command_line(
    error: str | None, code: int, arguments: list[str], fake: FakeTransport
) -> None:
    """1: the service refused; 2: wrong usage; 3: no response."""
    if error:
        fake.fail(error=error)

    with pytest.raises(CommandError) as failed:
        run(*arguments)

    assert failed.value.returncode == code


def test_wrong_settings_are_wrong_usage() -> None:
    """The command names them; it runs no checks, which would only say so twice."""
    with override_settings(CHATARMIN_OS={"TRANSPRT": "fake"}), pytest.raises(CommandError, match="TRANSPRT") as failed:
        run("chatarmin_check", "org_1", "sso")

    assert failed.value.returncode == 2


@pytest.mark.parametrize("arguments", [[], ["status"], ["discard", "key"]], ids=["none", "status", "discard"])
def test_there_is_no_outbox(arguments: list[str]) -> None:
    """The command of the outbox says that none is configured."""
    with pytest.raises(CommandError, match="no outbox is configured") as failed:
        run("chatarmin_outbox", *arguments)

    assert failed.value.returncode == 2


@pytest.mark.parametrize(("make", "code", "problem"), UNWRITABLE)
@pytest.mark.parametrize("arguments", [["chatarmin_outbox", "status"], ["chatarmin_check", "org_1", "ai_credit"]])
def test_output_that_cannot_be_written(  # noqa: PLR0917 - the parameters of the test
    fake: FakeTransport,
    make: Callable[[], TextIO],
    code: int,
    problem: str,
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A pipe whose reader is gone is no error, and a full disk is one: as of `chatarmin-os`."""
    with override_settings(CHATARMIN_OS={"TRANSPORT": fake, "OUTBOX": "django"}), make() as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with pytest.raises(SystemExit) as ended:
            call_command(*arguments)
        monkeypatch.undo()

    assert ended.value.code == code
    assert capsys.readouterr().err == (f"manage.py: {problem}" if problem else "")
