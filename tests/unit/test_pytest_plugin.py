"""The plugin for pytest, in projects that are made for each test."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.server import serve_fake
from chatarmin_os.pytest import assert_same_state

if TYPE_CHECKING:
    from pathlib import Path

TIERS = """
def test_tiers(recorded_os):
    assert recorded_os.tiers.get("pro").name == "Pro"
"""


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """The projects load no plugins of what happens to be installed here, which takes longer than their tests."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that loads the plugin."""
    pytester.makeconftest('pytest_plugins = ["chatarmin_os.pytest"]')
    return pytester


def _recording(project: pytest.Pytester, name: str) -> Path:
    return project.path / "recordings" / f"{name}.jsonl"


def test_it_is_not_loaded_by_itself(pytester: pytest.Pytester) -> None:
    """Who does not ask for it gets no fixtures, and no options."""
    pytester.makepyfile(TIERS)

    pytester.runpytest().stdout.fnmatch_lines(["*fixture 'recorded_os' not found*"])


def test_a_fresh_fake_for_each_test(project: pytest.Pytester) -> None:
    """What one test does the next does not see, and the handles are at hand."""
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_fresh(fake_os, turn):
            assert fake_os.onboard(external_org_id="org_1", tier_code="free").link_status == "created"
            assert fake_os.transport.calls
    """)

    project.runpytest().assert_outcomes(passed=2)


def test_record_then_replay(project: pytest.Pytester) -> None:
    """What was recorded from the fake replays without it, each parameter by itself."""
    project.makepyfile(
        test_it="""
        import pytest

        class TestTiers:
            @pytest.mark.parametrize("code", ["free", "pro/x"])
            def test_get(self, recorded_os, code):
                assert recorded_os.tiers.get(code[:4].strip("/x")).code
    """
    )

    project.runpytest("--os-record=fake").assert_outcomes(passed=2)

    assert sorted(path.name for path in (project.path / "recordings").iterdir()) == [
        "test_it.TestTiers.test_get_free_.jsonl",
        "test_it.TestTiers.test_get_pro_x_.jsonl",
    ]
    project.runpytest().assert_outcomes(passed=2)


def test_record_from_the_service(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a key in the environment the service is recorded; the key is not in the file."""
    project.makepyfile(test_it=TIERS)
    with serve_fake() as url:
        monkeypatch.setenv("OS_API_KEY", "os_sk_recorded")
        monkeypatch.setenv("OS_BASE_URL", url)
        project.runpytest("--os-record").assert_outcomes(passed=1)

    text = _recording(project, "test_it.test_tiers").read_text()
    assert url in text
    assert "os_sk_recorded" not in text
    project.runpytest().assert_outcomes(passed=1)


def test_a_missing_recording_says_what_makes_it(project: pytest.Pytester) -> None:
    """The command can be pasted."""
    project.makepyfile(test_it=TIERS)

    result = project.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*test_it.test_tiers.jsonl is not there; this records it: pytest *::test_tiers' --os-record"]
    )


def test_recording_without_a_key_is_told(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, and no traceback."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    project.makepyfile(test_it=TIERS)

    result = project.runpytest("--os-record")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["--os-record: api_key: *OS_API_KEY*"])
    result.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize("call", ["recorded_os.tiers.get('free')", "raise recorded_os.batch([free])[0]"])
def test_a_call_without_a_recording_says_what_records_it(project: pytest.Pytester, call: str) -> None:
    """In the test where it is made, and at its end: code that catches it, or a batch, hides nothing."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    project.makepyfile(
        test_it=TIERS
        + f"""
    from chatarmin_os import GetTierInput

    free = GetTierInput(tier_code="free")
    try:
        {call}
    except Exception as error:
        assert "This records it anew: pytest " in str(error)
"""
    )

    result = project.runpytest("-rN")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*has no tiers.get(*; the nearest of 1, all used, differs:", "This records it anew: *"]
    )
    assert result.outlines.count("This records it anew: pytest 'test_it.py::test_tiers' --os-record") == 1


def test_calls_that_had_no_answer_warn(project: pytest.Pytester) -> None:
    """A test that catches them would replay for ever that the service was down."""
    project.makepyfile(
        test_it="""
        from chatarmin_os import TimedOut

        def test_down(recorded_os):
            recorded_os.transport.inner.fail("tiers.list", error=TimedOut("no answer"))
            try:
                recorded_os.tiers.list()
            except TimedOut:
                pass
    """
    )

    result = project.runpytest("--os-record=fake", "-W", "default")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*recorded without an answer, as they had none: tiers.list"])


def test_a_broken_recording_says_what_makes_it(project: pytest.Pytester) -> None:
    """And where it is broken."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    _recording(project, "test_it.test_tiers").write_text("{}")

    project.runpytest("--os-max-age", "5").stdout.fnmatch_lines(["*line 1*--os-record"])


def test_unused_calls_fail_a_test_that_passed(project: pytest.Pytester) -> None:
    """A test that no longer makes a recorded call fails, unless it has failed already."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")

    project.makepyfile(test_it="def test_tiers(recorded_os): pass")
    unused = project.runpytest()
    unused.assert_outcomes(passed=1, errors=1)
    unused.stdout.fnmatch_lines(
        ["*1 of 1 recorded calls were never made:", "*This records it anew: pytest *--os-record"]
    )

    project.makepyfile(test_it="def test_tiers(recorded_os): assert 0")
    project.runpytest().assert_outcomes(failed=1)


def test_a_test_that_fails_leaves_the_recording_as_it_was(project: pytest.Pytester) -> None:
    """What half a test recorded is not kept."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    before = _recording(project, "test_it.test_tiers").read_bytes()

    project.makepyfile(test_it=TIERS + "    assert 0")
    project.runpytest("--os-record=fake").assert_outcomes(failed=1)

    assert _recording(project, "test_it.test_tiers").read_bytes() == before
    assert len(list((project.path / "recordings").iterdir())) == 1


def test_old_recordings_warn(project: pytest.Pytester) -> None:
    """Those that are older than so many days; others, and those that do not say, do not."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    path = _recording(project, "test_it.test_tiers")
    head, *calls = path.read_text().splitlines()

    assert "days old" not in project.runpytest("--os-max-age", "5").stdout.str()
    path.write_text("\n".join([json.dumps({**json.loads(head), "recorded_at": "2024-01-02T00:00:00Z"}), *calls]))
    old = project.runpytest("--os-max-age", "5", "-W", "default")
    assert old.parseoutcomes()["passed"] == 1
    old.stdout.fnmatch_lines(["*days old; this records it anew: pytest *"])
    assert "days old" not in project.runpytest().stdout.str()


def test_recordings_are_redacted_by_a_fixture(project: pytest.Pytester) -> None:
    """A project says once what is taken out."""
    project.makeconftest("""
        import pytest
        from chatarmin_os.transports.redactors import personal_data
        pytest_plugins = ["chatarmin_os.pytest"]

        @pytest.fixture
        def os_redact():
            return personal_data
    """)
    project.makepyfile(
        test_it="""
        def test_joan(recorded_os):
            company = recorded_os.onboard(external_org_id="org_1", contact_email="joan@acme.example")
            assert company.link_status == "created"
    """
    )
    project.runpytest("--os-record=fake").assert_outcomes(passed=1)

    assert "joan" not in _recording(project, "test_it.test_joan").read_text()
    project.runpytest().assert_outcomes(passed=1)


def test_states_are_compared_place_by_place() -> None:
    """What was added, went away or became another is told, some of it where there is much."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = client.onboard(external_org_id="org_1", tier_code="free").company_id or ""
    before = fake.snapshot()
    assert_same_state(before, fake)
    client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=5, idempotency_key="k")
    client.features.set_access(company_id=company, feature_code="ai_credit", quantity_limit=7)

    with pytest.raises(AssertionError) as failed:
        assert_same_state(before, fake)
    told = str(failed.value)
    assert f"~ access.{company}.ai_credit.quantityLimit: 100 -> 7" in told
    assert f"+ usage.{company}.ai_credit: '5'" in told
    with pytest.raises(AssertionError, match=r"- events\.k"):
        assert_same_state(fake, before)

    one: Any = {**before, "clock_offset_microseconds": 1}
    with pytest.raises(AssertionError, match="differ at 1 place:"):
        assert_same_state(before, one)
    with pytest.raises(AssertionError, match=r"and [0-9]+ more"):
        assert_same_state({}, before)
