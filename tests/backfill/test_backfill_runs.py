"""Runs of a backfill: the steps of a row, the next run, dry runs, checkpoints and arguments."""

from __future__ import annotations

import csv
import json
import logging
import pickle
import random
import sqlite3
import threading
from collections import Counter
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from backfill_world import MUTATIONS, Inline, World
from waiting import PATIENCE

from chatarmin_os import (
    ApiError,
    ChatarminError,
    ChatarminOS,
    ConnectionFailed,
    ContactInput,
    InvalidInput,
    UnauthorizedError,
)
from chatarmin_os.backfill import Backfill, Row, read_rows
from chatarmin_os.backfill.checkpoint import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chatarmin_os.transports import Call

ACME: dict[str, Any] = {
    "external_org_id": "org_1",
    "name": "Acme Inc",
    "tier_code": "free",
    "contacts": ["ann@acme.com"],
}
BOLT: dict[str, Any] = {
    "external_org_id": "org_2",
    "name": "Bolt Ltd",
    "tier_code": "pro",
    "contact_email": "bea@bolt.example",
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a world without customers."""
    return World(tmp_path)


def counts(report: Any) -> tuple[int, int, int, int]:
    """Return the counts of a report."""
    return report.total, report.done, report.skipped, report.failed


# The steps of a row


def test_new_customers_get_all_their_parts(world: World) -> None:
    """Company, link, subscription, tier, label and contacts are made, each step in one round for all rows."""
    subscription = world.fake.stripe.add_subscription([])
    acme = {**ACME, "label": "Vienna", "stripe_subscription_id": subscription, "domain": "acme.com"}

    report = world.run([acme, BOLT])

    assert counts(report) == (2, 2, 0, 0)
    assert world.companies() == ["Acme Inc", "Bolt Ltd"]
    assert world.people() == ["ann@acme.com", "bea@bolt.example"]
    assert (world.tier(), world.tier("org_2")) == ("free", "pro")
    assert [link["label"] for link in world.fake.snapshot()["links"]] == ["Vienna", None]
    assert [claim["companyId"] for claim in world.fake.snapshot()["claims"]] == [world.company()]
    assert world.paths() == [
        "tiers.list",
        *["companies.getByProductLink"] * 2,
        *["companies.create"] * 2,
        "billing.linkSubscription",
        *["tiers.apply"] * 2,
        "links.create",
        "contacts.bulkUpsert",
    ]


def test_creation_never_matches(world: World) -> None:
    """A company of the same name and domain is left alone."""
    world.fake.add_company("Acme Inc", domain="acme.com")

    world.run([{**ACME, "domain": "acme.com"}])

    assert world.companies() == ["Acme Inc", "Acme Inc"]


def test_onboarding_matches(world: World) -> None:
    """With the mode onboard, the organisation is linked to the company of its domain; others become new companies."""
    known = world.fake.add_company("Acme Incorporated", domain="acme.com")

    report = world.run([{**ACME, "domain": "acme.com", "contact_email": "al@acme.com"}, BOLT], mode="onboard")

    assert report.done == 2
    assert world.company() == known
    assert world.companies() == ["Acme Incorporated", "Bolt Ltd"]
    assert world.people() == ["al@acme.com", "ann@acme.com", "bea@bolt.example"]
    assert (world.tier(), world.tier("org_2")) == ("free", "pro")


@pytest.mark.parametrize(
    ("before", "apply_tier", "after"), [("pro", False, "pro"), ("pro", True, "free"), (None, False, "free")]
)
def test_tier_of_a_linked_company_is_kept(world: World, before: str | None, apply_tier: bool, after: str) -> None:  # noqa: FBT001
    """The tier is applied to a company without features; to one with features only if that is asked for."""
    world.direct.onboard(external_org_id="org_1", tier_code=before)

    report = world.run([ACME], apply_tier=apply_tier)

    assert world.tier() == after
    assert report.kept_tiers == (after == "pro")
    assert world.run([ACME]).kept_tiers == 0  # it is skipped
    assert world.people() == ["ann@acme.com"]


def test_contact_of_a_linked_company_is_added(world: World) -> None:
    """The address that a creation would carry along is upserted if there is nothing to create."""
    world.direct.onboard(external_org_id="org_2")

    world.run([BOLT])

    assert world.people() == ["bea@bolt.example"]


# The next run


def test_done_rows_are_skipped(world: World) -> None:
    """The next run asks for nothing, whatever the rows are given as."""
    rows = [
        ACME,
        Row(**BOLT),
        {"external_org_id": "org_3", "name": "C", "created_at": datetime(2024, 1, 1, tzinfo=UTC)},
        {"external_org_id": UUID(int=4), "name": "D"},
        {"external_org_id": "org_5", "name": "E", "contacts": [ContactInput(email="e@e.com")]},
    ]
    assert counts(world.run(rows)) == (5, 5, 0, 0)
    world.transport.calls.clear()

    report = world.run([Row(**ACME), *reversed(rows[1:])])

    assert counts(report) == (5, 0, 5, 0)
    assert world.paths() == ["tiers.list"]


def test_changed_rows_are_applied_again(world: World) -> None:
    """A row with another content is applied and counted; its tier is not, since somebody may have changed it."""
    world.run([ACME])
    world.direct.tiers.apply(company_id=world.company(), tier_code="enterprise")

    report = world.run([{**ACME, "contacts": ["ann@acme.com", "bob@acme.com"]}])

    assert counts(report) == (1, 1, 0, 0)
    assert world.people() == ["ann@acme.com", "bob@acme.com"]
    assert world.tier() == "enterprise"
    assert counts(world.run([ACME])) == (1, 1, 0, 0)


def test_failed_rows_are_tried_again(world: World) -> None:
    """A row that failed is tried in each run, and reported by the last one only."""
    assert counts(world.run([{**ACME, "tier_code": "gold"}])) == (1, 0, 0, 1)
    assert world.companies() == []
    world.fake.add_tier("gold", name="Gold", features={"ai_credit": {}})

    report = world.run([{**ACME, "tier_code": "gold"}])

    assert counts(report) == (1, 1, 0, 0)
    assert list(report.failures) == []
    assert world.tier() == "gold"


@pytest.mark.parametrize("code", ["BAD_REQUEST", "PRECONDITION_FAILED"])
def test_new_company_gets_its_tier_in_a_later_run(world: World, code: str) -> None:
    """A row that failed between creation and tier gets its tier, even if the company has features then."""
    world.transport.before = lambda call: ApiError.from_code(code) if call.path == "tiers.apply" else None
    assert world.run([ACME]).failed == 1
    world.transport.before = lambda _: None
    world.direct.features.set_access(company_id=world.company(), feature_code="team_seats", is_enabled=True)

    assert world.run([ACME]).done == 1

    assert world.tier() == "free"


def test_tier_set_by_hand_after_a_row_was_done_is_kept(world: World) -> None:
    """That a run made the company is forgotten when its row is done."""
    world.run([ACME])
    world.direct.tiers.apply(company_id=world.company(), tier_code="enterprise")

    world.run([{**ACME, "label": "Vienna"}])

    assert world.tier() == "enterprise"


def test_tier_set_by_hand_after_a_row_failed_is_kept(world: World) -> None:
    """A row that fails behind its tier has had it, whatever the reason: a bad address is corrected days later."""
    row = {**ACME, "contacts": ["ann@acme"]}
    assert [failed.step for failed in world.run([row]).failures] == ["contacts"]
    assert world.tier() == "free"
    world.direct.tiers.apply(company_id=world.company(), tier_code="enterprise")

    assert world.run([row]).failed == 1
    assert world.run([ACME]).done == 1

    assert world.tier() == "enterprise"
    assert world.mutations().count("tiers.apply") == 1


def test_access_revoked_after_a_row_failed_stays_revoked(world: World) -> None:
    """A company without features that has had its tier does not get it once more."""
    world.direct.onboard(external_org_id="org_1")
    assert world.run([{**ACME, "contacts": ["ann@acme"]}]).failed == 1
    for feature in ("ai_credit", "seats"):
        world.direct.features.set_access(company_id=world.company(), feature_code=feature, is_enabled=False)

    assert world.run([ACME]).done == 1

    assert world.direct.billing.get_status(world.company()).enabled_features_count == 0


def test_corrected_tier_of_a_failed_row_is_applied(world: World) -> None:
    """Its company was made for the row, which is not done: the tier of the file counts."""
    assert world.run([{**ACME, "contacts": ["ann@acme"]}]).failed == 1

    assert world.run([{**ACME, "tier_code": "pro"}]).done == 1

    assert world.tier() == "pro"


def test_tier_of_a_failed_row_is_applied_again_if_that_is_asked_for(world: World) -> None:
    """`apply_tier` is about all companies."""
    assert world.run([{**ACME, "contacts": ["ann@acme"]}]).failed == 1
    world.direct.tiers.apply(company_id=world.company(), tier_code="enterprise")

    assert world.run([ACME], apply_tier=True).done == 1

    assert world.tier() == "free"


def test_tier_is_applied_once_though_a_later_step_is_repeated(world: World) -> None:
    """It is not applied again minutes later, after an outage."""
    lost = iter([ConnectionFailed("reset", outcome="unknown")] * 3)
    world.transport.after = lambda call: next(lost, None) if call.path == "contacts.bulkUpsert" else None

    assert world.run([ACME]).done == 1

    assert world.mutations() == ["companies.create", "tiers.apply", *["contacts.bulkUpsert"] * 4]


@pytest.mark.parametrize("kind", [dict, "file"], ids=["mappings", "file"])
@pytest.mark.parametrize(
    "bad",
    [{"contact_email": "Ann"}, {"contacts": ["Ann <ann@acme.com>"]}, {"domain": "n/a"}, {"tier_code": "pro\u200b"}],
    ids=["contact-email", "contacts", "domain", "tier-code"],
)
def test_dry_run_checks_the_values_of_each_row(world: World, kind: Any, bad: dict[str, Any]) -> None:
    """The same row fails from a file and from a program, in a dry run and in a run, and nothing is sent for it."""
    row = {**ACME, **bad}
    path = world.folder / "customers.jsonl"
    path.write_text(json.dumps(row))

    for dry_run in (True, False):
        report = world.run([row] if kind is dict else read_rows(path), dry_run=dry_run)
        (failure,) = report.failures
        assert (failure.step, failure.code) == ("read", "INVALID")
        assert next(iter(bad)) in failure.message
    assert world.paths() == ["tiers.list"] * 2


def test_blank_values_of_a_program_are_missing(world: World) -> None:
    """As those of a `CharField` that may be blank."""
    optional = ("domain", "contact_email", "contact_name", "stripe_subscription_id", "label", "created_at")
    row = {**dict.fromkeys(optional, ""), **ACME, "contacts": ["", {"email": "ann@acme.com", "name": "", "role": " "}]}

    assert world.run([row]).done == 1
    assert world.people() == ["ann@acme.com"]
    assert counts(world.run([ACME])) == (1, 0, 1, 0)  # it is the same row


def test_second_row_of_an_organisation_fails(world: World) -> None:
    """It names the line of the first one: in the same run of rows, far behind it, and in the next run."""
    many = [{"external_org_id": f"other_{number}", "name": "Other"} for number in range(300)]
    rows = [ACME, {**ACME, "name": "Again"}, *many, {**ACME, "external_org_id": "org_1"}]
    for done, skipped in ((301, 0), (0, 301)):
        report = world.run(rows)
        assert counts(report) == (303, done, skipped, 2)
        assert [(row.line, row.external_org_id, row.step, row.code) for row in report.failures] == [
            (2, "org_1", "read", "CONFLICT"),
            (303, "org_1", "read", "CONFLICT"),
        ]
        assert all("line 1 has the same one" in row.message for row in report.failures)


def test_second_row_fails_also_if_the_first_one_changed(world: World) -> None:
    """The order in the file decides, not which of the two was done before."""
    world.run([ACME])

    report = world.run([{**ACME, "name": "Acme"}, ACME])

    assert [row.line for row in report.failures] == [2]
    assert report.done == 1


def test_lines_are_those_of_the_last_run(world: World) -> None:
    """A row that moved is skipped, and the failure of its second one names the new line."""
    world.run([ACME])

    report = world.run([BOLT, ACME, ACME])

    assert [row.message for row in report.failures] == [
        "external_org_id: line 2 has the same one; merge the rows, or remove one"
    ]


# Bad rows


def test_invalid_rows_fail_and_the_rest_runs(world: World) -> None:
    """A failure names the place in the iterable, and the field."""
    circle: dict[str, Any] = {"name": "x"}
    circle["self"] = circle
    rows: list[Any] = [{"external_org_id": "org_9"}, ACME, 5, {1: 2}, circle, {**ACME, "external_org_id": "a\ud800"}]

    report = world.run(rows)

    assert counts(report) == (6, 1, 0, 5)
    failures = list(report.failures)
    assert [(row.line, row.external_org_id, row.step, row.code) for row in failures] == [
        (1, "org_9", "read", "INVALID"),
        (3, None, "read", "INVALID"),
        (4, None, "read", "INVALID"),
        (5, None, "read", "INVALID"),
        (6, None, "read", "INVALID"),
    ]
    assert failures[0].message == "name: required"


def test_failed_rows_of_a_file_are_written_unchanged(world: World) -> None:
    """The file has the columns of the first one and `error`, is for its owner only, and can be run once corrected."""
    path = world.folder / "customers.csv"
    path.write_bytes(b"external_org_id,Company,tier_code,since\norg_1,Acme Inc,gold,2020\norg_2,,pro,\norg_3,C\xff,,\n")

    report = world.run(read_rows(path))
    failed = world.folder / "failed.csv"
    report.write_failed(failed)

    assert counts(report) == (3, 0, 0, 3)
    assert [row.line for row in report.failures] == [2, 3, 4]
    assert failed.stat().st_mode & 0o777 == 0o600
    with failed.open(encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    assert [row["Company"] for row in rows] == ["Acme Inc", "", "C\udcff"]
    assert rows[0]["error"].startswith("NOT_FOUND: tier_code: no tier 'gold'")
    failed.write_text(failed.read_text(errors="ignore").replace("gold", "pro"), encoding="utf-8")
    assert world.run(read_rows(failed), checkpoint=world.folder / "second").done == 2


def test_failed_rows_of_a_program_are_written_as_objects(world: World) -> None:
    """Each line is the object of a row, with its error; the file is empty if no row failed."""
    report = world.run([{**ACME, "tier_code": "gold"}])
    report.write_failed(world.folder / "failed.jsonl")
    [row] = (world.folder / "failed.jsonl").read_text().splitlines()
    assert '"contacts": [{"email": "ann@acme.com"}]' in row
    assert '"error": "NOT_FOUND: tier_code' in row

    world.run([ACME]).write_failed(world.folder / "failed.jsonl")
    assert (world.folder / "failed.jsonl").read_bytes() == b""


def test_record_that_cannot_be_read_fails_and_the_rest_runs(world: World) -> None:
    """A row with too few cells is one failure; failures are read page by page."""
    path = world.folder / "customers.csv"
    path.write_text("external_org_id,name\n" + "alone\n" * 501 + "org_1,Acme Inc\n")

    report = world.run(read_rows(path))

    assert counts(report) == (502, 1, 0, 501)
    assert [row.line for row in report.failures] == list(range(2, 503))


def test_unusable_file_ends_a_run_before_anything_is_sent(world: World) -> None:
    """A missing column is raised at once, and nothing is asked for."""
    path = world.folder / "customers.csv"
    path.write_text("id,Company\norg_1,Acme Inc\n")

    with pytest.raises(InvalidInput, match="no column is certain to be external_org_id"):
        world.run(read_rows(path))

    assert world.paths() == []
    path.rename(world.folder / "broken.csv")
    path = world.folder / "corrected.csv"
    path.write_text("external_org_id,Company\norg_1,Acme Inc\n")
    assert world.run(read_rows(path)).done == 1  # the checkpoint was not begun with the other file


def test_first_object_without_the_needed_keys_ends_a_run_before_anything_is_sent(world: World) -> None:
    """The keys of all objects have to be mapped: the run fails, and not one row."""
    path = world.folder / "customers.jsonl"
    path.write_text('{"id": "1", "name": "A"}\n{"id": "2", "name": "B"}\n')

    with pytest.raises(InvalidInput, match="no column is certain to be external_org_id"):
        world.run(read_rows(path))

    assert world.paths() == []


def test_file_that_is_damaged_further_on_ends_the_run_after_its_rows(world: World) -> None:
    """The rows in front of the damage are done; the next run goes on."""
    path = world.folder / "customers.json"
    rows = ",".join(f'{{"external_org_id": "org_{number}", "name": "N"}}' for number in range(201))
    path.write_text(f"[{rows}, {{")

    with pytest.raises(InvalidInput, match="line 1"):
        world.run(read_rows(path))

    assert len(world.companies()) == 200


def test_generator_that_ends_with_the_error_of_a_row_ends_the_run(world: World) -> None:
    """The rows behind it were not read, and must not be missed silently."""
    path = world.folder / "customers.csv"
    path.write_text("external_org_id,name\norg_1,\norg_2,Bolt\n")

    with pytest.raises(InvalidInput, match="line 2"):
        world.run(row for row in read_rows(path))

    report = world.run(map(lambda row: row, read_rows(path)))  # noqa: C417 - an iterator that goes on
    assert counts(report) == (2, 1, 0, 1)
    assert [row.line for row in report.failures] == [2]


def test_lines_of_a_file_survive_an_iterator_around_it(world: World) -> None:
    """A row of a file knows its line, wherever it is given."""
    path = world.folder / "customers.csv"
    path.write_text("external_org_id,name\n\norg_1,Acme\norg_1,Again\n")

    report = world.run(list(read_rows(path)))

    assert [(row.line, row.message[:23]) for row in report.failures] == [(4, "external_org_id: line 3")]


def test_error_of_the_iterable_is_raised_after_the_rows_in_flight(world: World) -> None:
    """Rows in front of the error are done and noted."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from ({"external_org_id": f"org_{number}", "name": "N"} for number in range(300))
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        world.run(rows())

    assert len(world.companies()) == 200


# Dry runs


def test_dry_run_sends_no_mutation(world: World) -> None:
    """It checks tiers and links, reports a plan, and leaves the checkpoint as it is."""
    world.direct.onboard(external_org_id="org_2", tier_code="free")
    world.run([{"external_org_id": "org_3", "name": "Done"}])
    before = {path.name: path.read_bytes() for path in world.folder.iterdir()}
    world.transport.calls.clear()
    rows = [
        ACME,
        BOLT,
        {"external_org_id": "org_3", "name": "Done"},
        {**ACME, "external_org_id": "x", "tier_code": "y"},
    ]

    report = world.run(rows, dry_run=True)

    assert counts(report) == (4, 2, 1, 1)
    assert report.plan == {"create": 1, "tier": 1, "contacts": 2}
    assert report.kept_tiers == 1
    assert [row.code for row in report.failures] == ["NOT_FOUND"]
    assert not MUTATIONS & set(world.paths())
    assert {path.name: path.read_bytes() for path in world.folder.iterdir()} == before
    assert counts(world.run(rows)) == (4, 2, 1, 1)


@pytest.mark.parametrize("seed", range(12))
def test_dry_run_says_what_a_run_does(world: World, seed: int) -> None:
    """The same rows fail for the same reasons, and as many rows need each step: rows of many kinds."""
    chance = random.Random(seed)  # noqa: S311 - a test
    _some_known(world, chance)
    rows = _some_rows(world, chance)
    settings: dict[str, Any] = {"apply_tier": chance.random() < 0.3}
    if chance.random() < 0.5:  # the first half of the rows is done, or has failed
        world.run(rows[:35], **settings)

    expected = world.run(rows, dry_run=True, **settings)
    failures = list(expected.failures)
    world.transport.calls.clear()
    report = world.run(rows, **settings)

    assert counts(expected) == counts(report)
    assert failures == list(report.failures)
    sent = Counter(world.mutations())
    assert expected.plan == {step: sent[path] for path, step in MUTATING_STEPS.items() if path in sent}


MUTATING_STEPS = {
    "companies.create": "create",
    "billing.linkSubscription": "subscription",
    "tiers.apply": "tier",
    "links.create": "label",
    "contacts.bulkUpsert": "contacts",
}


def _some_known(world: World, chance: random.Random) -> None:
    """Link some organisations, with a tier and without."""
    for number in range(0, 70, 3):
        tier = chance.choice([None, "free", "enterprise"])
        world.direct.onboard(external_org_id=f"org_{number}", tier_code=tier)


def _some_rows(world: World, chance: random.Random) -> list[dict[str, Any]]:
    """Return rows of many kinds: also invalid ones, and some of the same organisation."""
    optional: dict[str, Callable[[], Any]] = {
        "domain": lambda: "acme.example",
        "tier_code": lambda: chance.choice(["free", "pro", "gold"]),
        "contact_email": lambda: "ann@acme.example",
        "contacts": lambda: ["bob@acme.example"],
        "label": lambda: "Vienna",
        "stripe_subscription_id": lambda: world.fake.stripe.add_subscription([]),
    }
    rows = []
    for number in range(70):
        organisation = chance.choice([number, number, number, chance.randrange(70)])
        row: dict[str, Any] = {"external_org_id": f"org_{organisation}", "name": f"Company {number}"}
        row |= {name: make() for name, make in optional.items() if chance.random() < 0.5}
        row |= {"colour": "red"} if chance.random() < 0.05 else {}
        rows.append(row)
    return rows


def test_dry_run_needs_no_checkpoint_and_makes_none(world: World) -> None:
    """The copy that it works on is removed with its report."""
    report = world.run([ACME], dry_run=True, mode="onboard")
    copy = Path(report._checkpoint._file._path)

    assert report.plan == {"onboard": 1, "tier": 1, "contacts": 1}
    assert list(world.folder.iterdir()) == []
    assert copy.exists()
    del report
    assert not copy.parent.exists()


def test_dry_run_reads_the_log_of_a_killed_run(world: World) -> None:
    """Rows that are done in the log only are skipped."""
    world.run([ACME])
    with closing(sqlite3.connect(world.checkpoint, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("UPDATE rows SET is_done = 0")

        assert world.run([ACME], dry_run=True).done == 1


def test_dry_run_is_refused_while_a_run_is_under_way(world: World) -> None:
    """It does not wait for the other one to end."""
    found: list[str] = []

    def rows() -> Iterator[dict[str, Any]]:
        yield ACME
        with pytest.raises(InvalidInput, match="another run uses this checkpoint") as caught:
            world.run([ACME], dry_run=True)
        found.append(str(caught.value.field))

    world.run(rows())

    assert found == ["checkpoint"]


def test_dry_run_fails_if_the_tiers_are_unknown(world: World) -> None:
    """A run goes on without them, and lets the service refuse the tier."""
    world.transport.before = lambda call: ApiError.from_code("INTERNAL_SERVER_ERROR") if "list" in call.path else None
    with pytest.raises(ApiError):
        world.run([ACME], dry_run=True)

    report = world.run([ACME, {**BOLT, "tier_code": "gold"}])

    assert [(row.line, row.step, row.code) for row in report.failures] == [(2, "tier", "NOT_FOUND")]


# Checkpoints and arguments


@pytest.mark.parametrize("dry_run", [False, True])
def test_foreign_checkpoint_is_refused_and_left_alone(world: World, dry_run: bool) -> None:  # noqa: FBT001
    """Text, a folder, and the database of another program are one line about the checkpoint."""
    world.checkpoint.write_text("external_org_id,name\norg_1,Acme\n")
    with pytest.raises(InvalidInput, match="it is not a SQLite database; pass a new file") as caught:
        world.run([ACME], dry_run=dry_run)
    assert caught.value.field == "checkpoint"
    assert world.checkpoint.read_text().startswith("external_org_id")

    with pytest.raises(InvalidInput, match=str(world.folder)):
        world.run([ACME], dry_run=dry_run, checkpoint=world.folder)

    other = world.folder / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(InvalidInput, match="another application; pass a new file"):
        world.run([ACME], dry_run=dry_run, checkpoint=other)
    assert world.paths() == []


def test_newer_checkpoint_is_refused(world: World) -> None:
    """The advice is to upgrade."""
    world.run([ACME])
    with closing(sqlite3.connect(world.checkpoint)) as connection:
        connection.execute("PRAGMA user_version = 9")

    with pytest.raises(InvalidInput, match=r"format 9.*upgrade chatarmin_os"):
        world.run([ACME])


def test_checkpoint_of_another_file_is_refused(world: World) -> None:
    """Rows of a program have no file, and may follow those of one."""
    for name in ("a.csv", "b.csv"):
        (world.folder / name).write_text("external_org_id,name\norg_1,Acme Inc\n")
    world.run(read_rows(world.folder / "a.csv"))

    with pytest.raises(InvalidInput, match=r"begun with the file a\.csv, not b\.csv"):
        world.run(read_rows(world.folder / "b.csv"))

    assert world.run([{"external_org_id": "org_1", "name": "Acme Inc"}]).skipped == 1


def test_checkpoint_of_another_product_is_refused(world: World) -> None:
    """Neither a row nor a digest is sent to the wrong product."""
    world.transport.fingerprint = lambda: "one"  # type: ignore[method-assign]
    world.run([ACME])
    world.transport.fingerprint = lambda: "two"  # type: ignore[method-assign]
    world.transport.calls.clear()

    with pytest.raises(InvalidInput, match="another API key or base URL"):
        world.run([ACME])

    assert world.paths() == ["tiers.list"]


def test_key_is_in_no_checkpoint_report_or_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """The checkpoint has the mode 0600."""
    caplog.set_level(logging.DEBUG)
    client = ChatarminOS("os_sk_secret_key", base_url="http://127.0.0.1:9/api/v1", max_retries=0, timeout=1)
    backfill = world.backfill(make_client=lambda: client)
    world.checkpoint.with_suffix(".csv").write_text("external_org_id,name,Notes\norg_1,Acme Inc,x\norg_2,,y\n")

    report = backfill.run(read_rows(world.checkpoint.with_suffix(".csv")))
    report.write_failed(world.folder / "failed.csv")

    assert report.failed == 2
    assert world.checkpoint.stat().st_mode & 0o777 == 0o600
    assert "columns that are not read" in caplog.text
    kept = "".join(path.read_text(errors="replace") for path in world.folder.iterdir())
    assert "os_sk" not in kept + caplog.text + repr(report) + repr(list(report.failures))
    client.close()


def test_one_run_has_a_checkpoint_at_a_time(world: World) -> None:
    """A second one is refused at once; afterwards the file is free."""

    def rows() -> Iterator[dict[str, Any]]:
        yield ACME
        with pytest.raises(InvalidInput, match="another run uses this checkpoint; wait until it has ended"):
            world.run([BOLT])

    assert world.run(rows()).done == 1
    assert world.run([BOLT]).done == 1


def test_checkpoint_that_fails_ends_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The row's effect is there, and the next run finds it."""
    note = Checkpoint.note

    def fail(self: Checkpoint, rows: Any, failures: Any) -> None:
        if rows:
            raise ChatarminError("the disk is full")
        note(self, rows, failures)

    monkeypatch.setattr(Checkpoint, "note", fail)
    with pytest.raises(ChatarminError, match="the disk is full"):
        world.run([ACME])
    monkeypatch.undo()

    assert world.run([ACME]).done == 1
    assert world.companies() == ["Acme Inc"]
    assert world.tier() == "free"


def test_rows_in_flight_end_though_the_checkpoint_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent behind the back of the caller who gets the error."""
    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(150)]
    failed, all_begun = threading.Semaphore(0), threading.Barrier(3, timeout=PATIENCE)

    def wait(call: Call) -> None:
        organisation = (call.input or {}).get("externalOrgId")
        if call.path == "companies.getByProductLink" and organisation in {"org_0", "org_50", "org_100"}:
            all_begun.wait()
        if call.path == "companies.create" and organisation == "org_100":
            assert all(failed.acquire(timeout=PATIENCE) for _ in range(2))
            threading.Event().wait(0.1)  # a run that did not wait would be over

    def fail(*_: object) -> None:
        failed.release()
        raise ChatarminError("the disk is full")

    world.transport.before = wait
    monkeypatch.setattr(Checkpoint, "note", fail)
    backfill = Backfill(lambda: world.client, checkpoint=world.checkpoint, workers=3)
    with pytest.raises(ChatarminError, match="the disk is full"):
        backfill.run(rows)
    sent = world.mutations()
    monkeypatch.undo()

    assert len(sent) == 150
    assert backfill.run([]).total == 0
    assert world.mutations() == sent


def test_damaged_checkpoint_is_one_line(world: World) -> None:
    """The error says how to go on."""
    world.run([ACME])
    with world.checkpoint.open("r+b") as file:
        file.seek(1_000)
        file.write(b"\xff" * 10_000)

    with pytest.raises((ChatarminError, InvalidInput), match="checkpoint: it is damaged; pass a new file"):
        world.run([ACME])


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("make_client", ChatarminOS.in_memory()),
        ("checkpoint", b"bytes"),
        ("checkpoint", 5),
        ("checkpoint", ""),
        ("workers", 0),
        ("workers", True),
        ("workers", 1_001),
        ("rate", 0),
        ("rate", float("nan")),
        ("mode", "match"),
        ("apply_tier", 1),
    ],
)
def test_invalid_argument_is_named(world: World, argument: str, value: Any) -> None:
    """Nothing is made or sent."""
    with pytest.raises(InvalidInput) as caught:
        world.backfill(**{argument: value})
    assert caught.value.field == argument
    assert list(world.folder.iterdir()) == []


def test_executor_has_to_be_one(world: World) -> None:
    """A client of Dask is a TypeError, as its `get_executor()` is the executor."""
    with pytest.raises(TypeError, match=r"executor: expected a concurrent\.futures\.Executor or None, got"):
        world.backfill(executor=5)


@pytest.mark.parametrize("rows", ["customers.csv", Path("customers.csv"), ACME, 5])
def test_rows_have_to_be_rows(world: World, rows: Any) -> None:
    """A path is refused, and the error advises to read it."""
    with pytest.raises(InvalidInput, match="read a file with read_rows") as caught:
        world.run(rows)
    assert caught.value.field == "rows"


@pytest.mark.parametrize(("name", "value"), [("progress", 5), ("dry_run", "no")])
def test_invalid_argument_of_a_run_is_named(world: World, name: str, value: Any) -> None:
    """The checkpoint is not made."""
    with pytest.raises(InvalidInput) as caught:
        world.backfill().run([ACME], **{name: value})
    assert caught.value.field == name
    assert not world.checkpoint.exists()


# Workers


def test_threads_are_the_default_executor(world: World) -> None:
    """All rows are done once, and one client is made."""
    clients: list[ChatarminOS] = []

    def make_client() -> ChatarminOS:
        clients.append(world.client)
        return world.client

    rows = [{"external_org_id": f"org_{number}", "name": "N", "contacts": ["a@a.com"]} for number in range(150)]

    report = Backfill(make_client, checkpoint=world.checkpoint, workers=4).run(rows)

    assert report.done == 150
    assert len(world.companies()) == 150
    assert len(clients) == 1


def test_given_executor_is_not_shut_down(world: World) -> None:
    """It can be used for another run."""
    with ThreadPoolExecutor(2) as threads:
        for skipped in (0, 1):
            assert (
                Backfill(lambda: world.client, checkpoint=world.checkpoint, executor=threads).run([ACME]).skipped
                == skipped
            )


def test_executor_that_was_shut_down_is_one_line(world: World) -> None:
    """The error names the step that failed."""
    threads = ThreadPoolExecutor(1)
    threads.shutdown()

    with pytest.raises(InvalidInput, match=r"cannot schedule new futures after shutdown\); .*check the executor"):
        world.run([ACME], executor=threads)


@pytest.mark.parametrize("make_client", [lambda: 1 / 0, lambda: 5])
def test_make_client_that_fails_on_a_worker_is_named(world: World, make_client: Any) -> None:
    """Nothing was sent."""
    with pytest.raises(InvalidInput, match=r"ZeroDivisionError|got a int") as caught:
        world.run([ACME], make_client=make_client)
    assert caught.value.field == "make_client"


def test_make_client_that_cannot_be_sent_is_named(world: World) -> None:
    """An executor of processes pickles it."""

    class Pickling(Inline):
        def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
            return super().submit(lambda: function(*pickle.loads(pickle.dumps(arguments)), **named))  # noqa: S301

    with pytest.raises(InvalidInput, match="a function at the top of a module") as caught:
        world.run([ACME], executor=Pickling())
    assert caught.value.field == "make_client"


@pytest.mark.parametrize("error", [TypeError("it holds\na lock"), RuntimeError("no loop " * 1_000), BrokenExecutor()])
def test_executor_that_refuses_a_call_is_one_line(world: World, error: Exception) -> None:
    """At the start the function is named, which most likely cannot be sent; later it is how to go on."""

    class Refusing(Inline):
        def __init__(self, left: int) -> None:
            self._left = left

        def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                raise error
            self._left -= 1
            return super().submit(function, *arguments, **named)

    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(150)]
    for submitted, kind, words in (
        (0, InvalidInput, "make_client: no worker could run it"),
        (2, ChatarminError, "run the same again"),
    ):
        with pytest.raises(kind, match=words) as caught:
            world.run(rows, executor=Refusing(submitted))
        assert type(error).__name__ in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600
        assert caught.value.__cause__ is error
    assert world.run(rows).skipped == 50


def test_worker_with_another_key_is_refused(world: World) -> None:
    """A cluster may have old keys in the environments of some workers."""
    names = iter(["one", "two"])
    world.transport.fingerprint = lambda: next(names)  # type: ignore[method-assign]
    with pytest.raises(InvalidInput, match="another API key or base URL than the others"):
        world.run([ACME])
    assert not world.mutations()


def test_clients_of_old_runs_are_forgotten(world: World) -> None:
    """A process that works for many runs does not keep all their clients."""
    from chatarmin_os.backfill import work

    for number in range(10):
        work.client_of(lambda: world.client, f"run {number}")

    ours = [key for key in work._clients if key[1].startswith("run ")]
    assert len(ours) <= 4
    for _, name in ours:
        work.forget_client(name)


def test_submissions_differ(world: World) -> None:
    """No two calls of an executor are equal, also in two equal runs."""
    given: list[Any] = []

    class Noting(Inline):
        def submit(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
            given.append((function.__name__, arguments[1:]))
            return super().submit(function, *arguments, **named)

    for name in ("a", "b"):
        world.run([ACME], executor=Noting(), checkpoint=world.folder / name)

    assert len(given) == 4
    assert len(set(map(repr, given))) == 4


def test_refused_key_ends_the_run_after_done_rows_were_noted(world: World) -> None:
    """A key that is revoked in the middle costs the rows that are not done."""
    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(120)]
    seen = 0

    def revoke(call: Any) -> ApiError | None:
        nonlocal seen
        seen += call.path == "companies.create"
        return ApiError.from_code("UNAUTHORIZED") if seen > 75 else None

    world.transport.before = revoke
    with pytest.raises(UnauthorizedError):
        world.run(rows, workers=1)
    assert len(world.companies()) == 75
    world.transport.before = lambda _: None
    world.transport.calls.clear()

    report = world.run(rows)

    assert counts(report) == (120, 45, 75, 0)
    assert len(world.companies()) == 120


def test_progress_is_shown(world: World) -> None:
    """A function gets the rows that have ended, and the number of all rows if that is known."""
    seen: list[tuple[int, int | None]] = []
    rows = [{"external_org_id": f"org_{number}", "name": "N"} for number in range(60)]

    world.backfill().run(rows, progress=lambda *counts: seen.append(counts))
    world.backfill().run(iter(rows), progress=lambda *counts: seen.append(counts))

    assert (60, 60) in seen
    assert seen[-1] == (60, None)
    assert list(world.folder.iterdir()) == [world.checkpoint]
