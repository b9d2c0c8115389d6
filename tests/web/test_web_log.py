"""What the integrations log of errors and of lost usage."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chatarmin_os import ApiError, ChatarminError, InvalidInput, TimedOut
from chatarmin_os.outbox import OutboxFull
from chatarmin_os.web.log import LOGGER, foreign_error, log_lost_usage, name_for_log
from chatarmin_os.web.organisation import denied_for_nobody

COMPANY = "5f0c1e9a-7d5b-4c6e-9f56-3c7a2f2b8f10"  # an id of the service


class Unprintable:
    """A value that has no text."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def circle() -> dict[str, Any]:
    """Return a mapping that contains itself."""
    mapping: dict[str, Any] = {}
    mapping["itself"] = mapping
    return mapping


@pytest.mark.parametrize("metadata", [{("a", "b"): 1}, circle(), {"at": Unprintable()}, Unprintable()], ids=type)
def test_lost_usage_is_logged_whatever_is_in_it(metadata: object, caplog: pytest.LogCaptureFixture) -> None:
    """Values that are no JSON do not keep the rest of an event out of the log."""
    log_lost_usage(LOGGER, {"quantity": 3, "metadata": metadata, "company_id": None}, TimedOut("slow"))

    _, _, event = caplog.messages[0].partition("with its key: ")
    logged = json.loads(event)
    assert logged["quantity"] == 3
    assert list(logged) == ["quantity", "metadata"]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimedOut("slow"), "usage was not confirmed (TimedOut); send it again with its key: "),
        (
            ApiError.from_code("PRECONDITION_FAILED"),
            (
                "usage was not counted (UsageLimitError PRECONDITION_FAILED); "
                "send it again, once the cause is gone, with its key: "
            ),
        ),
    ],
    ids=["no response", "refused"],
)
def test_lost_usage_says_whether_it_may_be_counted(
    error: ChatarminError, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Usage that the service refused is refused again, until something is changed."""
    log_lost_usage(LOGGER, {"quantity": 3}, error)

    assert caplog.messages == [text + '{"quantity": 3}']


def test_text_of_the_service_is_not_logged() -> None:
    """Its message may name a company; the class and the code do not."""
    error = ApiError.from_code("NOT_FOUND", f"No company {COMPANY}")

    assert name_for_log(error) == "NotFoundError NOT_FOUND"
    assert name_for_log(TimedOut(f"no response to {COMPANY}")) == "TimedOut"
    assert name_for_log(KeyError("org_1")) == "KeyError"
    assert foreign_error(error) is None


def test_text_of_this_package_is_logged() -> None:
    """It names the argument, the feature and the reason, or what an outbox needs."""
    assert name_for_log(InvalidInput("must not be blank").at("feature_code")) == (
        "InvalidInput: feature_code: must not be blank"
    )
    assert "not_linked" in name_for_log(denied_for_nobody("sso"))
    assert name_for_log(OutboxFull("it is full; drain it")) == "OutboxFull: it is full; drain it"


def test_traceback_is_that_of_the_project() -> None:
    """It shows where a function of the project failed, also where this package has named the function."""
    cause = ZeroDivisionError()
    error = InvalidInput("organisation_of raised ZeroDivisionError")
    error.__cause__ = cause

    assert foreign_error(error) is cause
    assert foreign_error(cause) is cause
    assert foreign_error(InvalidInput("must not be blank")) is None
