"""The plugin for pytest, in a new project for each test."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import pytest

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.integrations.pytest import assert_same_state
from chatarmin_os.server import serve_fake

if TYPE_CHECKING:
    from pathlib import Path

TIERS = """
def test_tiers(recorded_os):
    assert recorded_os.tiers.get("pro").name == "Pro"
"""


@pytest.fixture(autouse=True)
def _no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Load no other installed plugins: that takes longer than the tests of a project."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("OS_API_KEY", "OS_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project that loads the plugin."""
    pytester.makeconftest('pytest_plugins = ["chatarmin_os.pytest"]')
    return pytester


def _recording(project: pytest.Pytester, name: str) -> Path:
    return project.path / "recordings" / f"{name}.jsonl"


def _names(project: pytest.Pytester) -> list[str]:
    return sorted(path.name for path in (project.path / "recordings").iterdir())


def test_plugin_is_not_loaded_by_default(pytester: pytest.Pytester) -> None:
    """Without a line in conftest.py there are no fixtures and no options."""
    pytester.makepyfile(TIERS)

    pytester.runpytest().stdout.fnmatch_lines(["*fixture 'recorded_os' not found*"])


def test_each_test_has_a_new_fake(project: pytest.Pytester) -> None:
    """A test does not see the state of another; `os_fake` is the fake behind the client."""
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("turn", [1, 2])
        def test_fresh(fake_os, os_fake, turn):
            assert fake_os.onboard(external_org_id="org_1", tier_code="free").link_status == "created"
            assert fake_os.transport is os_fake
            os_fake.fail("tiers.list", error="FORBIDDEN")
            assert len(os_fake.calls) == 1
    """)

    project.runpytest().assert_outcomes(passed=2)


def test_project_overrides_the_catalogue(project: pytest.Pytester) -> None:
    """`os_catalogue` has the features and tiers of the fake, also when it is recorded."""
    project.makeconftest("""
        import pytest
        from chatarmin_os.fake import Catalogue, FakeTransport
        pytest_plugins = ["chatarmin_os.pytest"]

        @pytest.fixture
        def os_catalogue():
            catalogue = Catalogue()
            catalogue.add_tier("gold", name="Gold")
            return catalogue
    """)
    project.makepyfile(
        test_it="""
        def test_fake(fake_os):
            assert [tier.code for tier in fake_os.tiers.list()] == ["gold"]

        def test_recorded(recorded_os):
            assert [tier.code for tier in recorded_os.tiers.list()] == ["gold"]
    """
    )

    project.runpytest("--os-record=fake").assert_outcomes(passed=2)
    project.runpytest().assert_outcomes(passed=2)


def test_recording_of_the_fake_replays(project: pytest.Pytester) -> None:
    """Each parameter has its recording."""
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

    assert [name.rpartition("-")[0] for name in _names(project)] == [
        "test_it.TestTiers.test_get_free_",
        "test_it.TestTiers.test_get_pro_x_",
    ]
    project.runpytest().assert_outcomes(passed=2)


def test_each_test_has_its_file(project: pytest.Pytester) -> None:
    """Even if names differ in a replaced character, in letter case alone, or after many equal characters."""
    project.makepyfile(
        test_it="""
        import pytest

        LONG = [pytest.param("x" * size, id="x" * size) for size in (300, 301)]

        @pytest.mark.parametrize("code", ["a/b", "a:b", "a_b", "A_b", "\u00e4", "", "it's", *LONG])
        def test_get(recorded_os, code):
            recorded_os.companies.create(name="Acme", external_org_id=f"org {code}")

        def test_get_(recorded_os):
            recorded_os.tiers.list()

        class TestA:
            def test_b(self, recorded_os):
                recorded_os.tiers.list()

            def test_B(self, recorded_os):
                recorded_os.tiers.get("pro")

        class Testa(TestA):
            pass
    """
    )

    project.runpytest("--os-record=fake").assert_outcomes(passed=14)

    names = _names(project)
    assert len({name.lower() for name in names}) == 14
    assert "test_it.test_get_.jsonl" in names
    assert max(map(len, names)) < 200
    project.runpytest().assert_outcomes(passed=14)


@pytest.mark.parametrize(
    ("test", "former"),
    [
        ("test_get[pro/x]", "test_it.test_get_pro_x_.jsonl"),
        ("TestA::test_b", "test_it.TestA.test_b.jsonl"),
    ],
)
def test_file_with_its_former_name_is_found(project: pytest.Pytester, test: str, former: str) -> None:
    """Recordings that an older version has named still replay."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.parametrize("code", ["pro/x"])
        def test_get(recorded_os, code):
            assert recorded_os.tiers.get("pro").name == "Pro"

        class TestA:
            def test_b(self, recorded_os):
                assert recorded_os.tiers.get("pro").name == "Pro"

            def test_B(self):
                pass
    """
    )
    project.runpytest("--os-record=fake", f"test_it.py::{test}").assert_outcomes(passed=1)
    [name] = _names(project)
    assert name != former

    (project.path / "recordings" / name).rename(project.path / "recordings" / former)

    project.runpytest(f"test_it.py::{test}").assert_outcomes(passed=1)


@pytest.mark.slow
def test_several_processes_record_the_same_tests(project: pytest.Pytester) -> None:
    """Under pytest-xdist any process may create the folder or replace a file first; names have no test groups."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.xdist_group("some")
        @pytest.mark.parametrize("turn", range(9))
        def test_get(recorded_os, turn):
            assert recorded_os.tiers.get("pro").name == "Pro"
    """
    )

    each = project.runpytest_subprocess("-p", "xdist", "--os-record=fake", "--tx", "2*popen", "--dist", "each")

    each.assert_outcomes(passed=18)
    assert len(_names(project)) == 9
    project.runpytest_subprocess("-p", "xdist", "-n", "2", "--dist", "loadgroup").assert_outcomes(passed=9)


def test_service_is_recorded_without_its_key(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is in the environment, and not in the file."""
    project.makepyfile(test_it=TIERS)
    with serve_fake() as url:
        monkeypatch.setenv("OS_API_KEY", "os_sk_recorded")
        monkeypatch.setenv("OS_BASE_URL", url)
        project.runpytest("--os-record").assert_outcomes(passed=1)

    text = _recording(project, "test_it.test_tiers").read_text()
    assert url in text
    assert "os_sk_recorded" not in text
    project.runpytest().assert_outcomes(passed=1)


def test_missing_recording_says_how_to_record_it(project: pytest.Pytester) -> None:
    """In one line, with a command to paste."""
    project.makepyfile(test_it=TIERS)

    result = project.runpytest()

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*_tiers.jsonl is missing; this records it: pytest *::test_tiers' --os-record (or --os-record=fake)"]
    )


def test_recording_without_a_key_is_an_error_of_one_line(project: pytest.Pytester) -> None:
    """There is no traceback."""
    project.makepyfile(test_it=TIERS)

    result = project.runpytest("--os-record")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["--os-record: api_key: *OS_API_KEY*"])
    for line in ("*Traceback*", "*During handling*", "*earlier run*"):
        result.stdout.no_fnmatch_line(line)


def test_production_is_recorded_only_on_request(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a base URL nothing is sent; `=production` ignores a base URL."""
    monkeypatch.setenv("OS_API_KEY", "os_sk_recorded")
    project.makepyfile(
        test_it="""
        def test_where(recorded_os):
            assert recorded_os.transport.inner._base_url == "https://os.chatarmin.com/api/v1"
    """
    )

    refused = project.runpytest("--os-record")

    refused.assert_outcomes(errors=1)
    refused.stdout.fnmatch_lines(["--os-record: OS_BASE_URL is not set, *=production or *=fake"])
    refused.stdout.no_fnmatch_line("*earlier run*")
    assert not (project.path / "recordings").exists()
    project.runpytest("--os-record=production").assert_outcomes(passed=1)
    monkeypatch.setenv("OS_BASE_URL", "http://127.0.0.1:9")
    project.runpytest("--os-record=production").assert_outcomes(passed=1)
    project.runpytest("--os-record").assert_outcomes(failed=1)


@pytest.mark.parametrize("option", ["--os-record", "--os-record=service", "--os-record=fake"])
def test_option_takes_no_path(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """`pytest --os-record test_it.py` records that file, and no other."""
    project.makepyfile(test_it=TIERS, test_other="def test_other(): assert 0")
    with serve_fake() as url:
        monkeypatch.setenv("OS_API_KEY", "os_sk_recorded")
        monkeypatch.setenv("OS_BASE_URL", url)
        project.runpytest(option, "test_it.py").assert_outcomes(passed=1)

    assert _names(project) == ["test_it.test_tiers.jsonl"]


def test_unknown_source_is_refused(project: pytest.Pytester) -> None:
    """No test runs, and a common mistake gets a suggestion."""
    project.makepyfile(test_it=TIERS)

    unknown, mistyped = project.runpytest("--os-record=moon"), project.runpytest("--os-record=prod")

    assert unknown.ret == mistyped.ret == pytest.ExitCode.USAGE_ERROR
    unknown.stderr.fnmatch_lines(["*--os-record*ignored explicit argument 'moon'"])
    mistyped.stderr.fnmatch_lines(["ERROR: --os-record=prod: no such source; write --os-record=production"])


def test_failure_while_recording_names_the_state_of_earlier_runs(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that keeps its state refuses a second recording, and the report says how to start again."""
    project.makepyfile(
        test_it="""
        def test_create(recorded_os):
            recorded_os.companies.create(name="Acme", external_org_id="org_1")

        def test_other():
            assert 0
    """
    )
    with serve_fake() as url:
        monkeypatch.setenv("OS_API_KEY", "os_sk_recorded")
        monkeypatch.setenv("OS_BASE_URL", url)
        first, second = (project.runpytest("--os-record") for _ in range(2))

    first.assert_outcomes(passed=1, failed=1)
    assert "earlier run" not in first.stdout.str()
    second.assert_outcomes(failed=2)
    advice = "set a new\nOS_API_KEY, or reset its product (POST /__fake__/reset). On any other service, give the test"
    assert second.stdout.str().count(advice) == 1
    assert "earlier run" not in project.runpytest("--os-record=fake").stdout.str()


def test_command_to_record_can_be_pasted(project: pytest.Pytester) -> None:
    """With any parameters of the test."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.parametrize("code", ["it's $HOME \\u2028"])
        def test_get(recorded_os, code):
            recorded_os.tiers.list()
    """
    )
    project.runpytest(*_command_of(project.runpytest()), "--os-record=fake").assert_outcomes(passed=1)


def _command_of(result: pytest.RunResult) -> list[str]:
    """Return the arguments of the command that records a missing recording."""
    line = next(line for line in result.outlines if "this records it: " in line)
    _, *arguments = shlex.split(line.partition("this records it: ")[2].removesuffix(" (or --os-record=fake)"))
    return arguments


def test_command_to_record_can_be_pasted_in_a_subfolder(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path begins where pytest was called, also where the root folder is another one."""
    project.makeini("[pytest]")
    folder = project.mkdir("unit")
    (folder / "test_it.py").write_text(TIERS)
    monkeypatch.chdir(folder)

    arguments = _command_of(project.runpytest())

    assert arguments[0] == "test_it.py::test_tiers"
    project.runpytest(*arguments, "--os-record=fake").assert_outcomes(passed=1)


def test_command_to_record_has_the_whole_path_where_none_leads_there(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test on another drive of Windows has no path from here."""
    path = project.makepyfile(test_it=TIERS)

    def fail(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr("chatarmin_os.integrations.pytest.os.path.relpath", fail)

    assert _command_of(project.runpytest_inprocess())[0] == f"{path}::test_tiers"


@pytest.mark.parametrize("call", ["recorded_os.tiers.get('free')", "raise recorded_os.batch([free])[0]"])
def test_call_without_a_recording_says_how_to_record_it(project: pytest.Pytester, call: str) -> None:
    """In the test and at its end: neither code that catches the error nor a batch hides it."""
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
        assert "This records it again: pytest " in str(error)
"""
    )

    result = project.runpytest("-rN")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*has no tiers.get(*; the nearest recorded call, already used, differs:", "This records it again: *"]
    )
    assert result.outlines.count("This records it again: pytest 'test_it.py::test_tiers' --os-record=fake") == 1


def test_recorded_calls_without_an_answer_warn(project: pytest.Pytester) -> None:
    """A test that catches the error would always replay that the service was down."""
    project.makepyfile(
        test_it="""
        from chatarmin_os import TimedOut

        def test_down(recorded_os):
            recorded_os.transport.inner.fail("tiers.apply", error=TimedOut("no answer"))
            try:
                recorded_os.tiers.apply("pro", company_id="comp_1")
            except TimedOut:
                pass
    """
    )

    result = project.runpytest("--os-record=fake", "-W", "default")

    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*recorded calls that had no answer: tiers.apply"])


def test_invalid_recording_says_how_to_record_it(project: pytest.Pytester) -> None:
    """The message has the invalid line too."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    path = _recording(project, "test_it.test_tiers")
    head = path.read_text().splitlines()[0]

    path.write_text(f"{head}\n{{}}\n")
    project.runpytest("--os-max-age", "5").stdout.fnmatch_lines(["*line 2: not a call*--os-record=fake"])
    path.write_text("{}")
    project.runpytest("--os-max-age", "5").stdout.fnmatch_lines(["*line 1*--os-record"])


def test_unused_calls_fail_a_passing_test(project: pytest.Pytester) -> None:
    """A test that no longer makes a recorded call fails, unless it has failed already."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")

    project.makepyfile(test_it="def test_tiers(recorded_os): pass")
    unused = project.runpytest()
    unused.assert_outcomes(passed=1, errors=1)
    unused.stdout.fnmatch_lines(
        ["*1 of 1 recorded calls were never made:", "*This records it again: pytest *--os-record=fake"]
    )

    project.makepyfile(test_it="def test_tiers(recorded_os): assert 0")
    project.runpytest().assert_outcomes(failed=1)


@pytest.mark.parametrize("end", ["pytest.skip('no')", "pytest.xfail('no')", "pytest.exit('no')"])
def test_unused_calls_are_no_error_of_a_test_that_ends_early(project: pytest.Pytester, end: str) -> None:
    """It was skipped, or expected to fail."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")

    project.makepyfile(test_it=f"import pytest\n\n@pytest.mark.xfail\ndef test_tiers(recorded_os):\n    {end}")

    outcomes = project.runpytest().parseoutcomes()
    assert not {"errors", "failed"} & outcomes.keys()


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("-p", "pytest_rerunfailures", "--reruns", "2"),
        ("-p", "pytest_retry.retry_plugin", "--retries", "2"),
    ],
    ids=["rerunfailures", "retry"],
)
def test_second_attempt_is_strict_too(project: pytest.Pytester, options: tuple[str, ...]) -> None:
    """The attempt that passes decides, and is the one recorded."""
    attempts = """
ATTEMPTS = []

def test_tiers(recorded_os):
    ATTEMPTS.append(recorded_os.tiers.get("pro"))
    if len(ATTEMPTS) == 1:
        recorded_os.tiers.get("trial")
    assert len(ATTEMPTS) > 1
"""
    project.makepyfile(test_it=f"{attempts}    recorded_os.tiers.list()\n")
    recorded = project.runpytest_subprocess(*options, "--os-record=fake")
    assert recorded.parseoutcomes()["passed"] == 1
    lines = [json.loads(line) for line in _recording(project, "test_it.test_tiers").read_text().splitlines()]
    assert [line["path"] for line in lines[1:] if "path" in line] == ["tiers.get", "tiers.list"]

    project.makepyfile(test_it=attempts)
    replayed = project.runpytest_subprocess(*options)

    assert replayed.parseoutcomes()["errors"] == 1
    replayed.stdout.fnmatch_lines(["*1 of 2 recorded calls were never made:"])


def test_attempt_keeps_no_recording_of_an_earlier_one(project: pytest.Pytester) -> None:
    """An attempt whose finalizer fails is not recorded, even if the next one does not reach the fixture."""
    project.makepyfile(
        test_it="""
        import pytest

        ATTEMPTS = []

        @pytest.fixture
        def first():
            ATTEMPTS.append(1)
            assert len(ATTEMPTS) == 1
            yield
            assert 0

        def test_tiers(first, recorded_os):
            recorded_os.tiers.list()
    """
    )

    project.runpytest_subprocess("-p", "pytest_rerunfailures", "--reruns", "1", "--os-record=fake")

    assert not (project.path / "recordings").exists()


_ENDINGS = {
    "assert": "assert 0",
    "skip": "pytest.skip('no')",
    "xfail": "pytest.xfail('no')",
    "exit": "pytest.exit('no')",
    "ctrl-c": "raise KeyboardInterrupt",
    "subtest": "with request.getfixturevalue('subtests').test(): assert 0",
    "setup": "",
    "finalizer": "",
    "xpass-strict": "",
}


@pytest.mark.parametrize("name", _ENDINGS)
def test_only_a_passing_test_replaces_its_recording(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """After any other end, also in a fixture, the recording is unchanged and there is no other file."""
    source = f"""
import os
import pytest

ENDS = os.environ.get("ENDS")

@pytest.fixture
def first():
    yield
    assert ENDS != "finalizer"

@pytest.fixture
def last(recorded_os):
    recorded_os.tiers.get("free")
    assert ENDS != "setup"

@pytest.mark.xfail(ENDS == "xpass-strict", reason="no", strict=True)
def test_tiers(first, recorded_os, last, request):
    recorded_os.tiers.get("pro")
    if ENDS == {name!r}:
        recorded_os.tiers.get("trial")
        {_ENDINGS[name] or "pass"}
"""
    project.makepyfile(test_it=source)
    project.runpytest("--os-record=fake").assert_outcomes(passed=1)
    before = _recording(project, "test_it.test_tiers").read_bytes()

    monkeypatch.setenv("ENDS", name)
    stops = ["-x"] if name == "assert" else []
    project.inline_run("--os-record=fake", *stops, no_reraise_ctrlc=True)

    assert _recording(project, "test_it.test_tiers").read_bytes() == before
    assert _names(project) == ["test_it.test_tiers.jsonl"]


def test_process_that_dies_leaves_the_recording(project: pytest.Pytester) -> None:
    """There is no part of a new one."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    before = _recording(project, "test_it.test_tiers").read_bytes()

    project.makepyfile(test_it=f"import os\n{TIERS}    os._exit(9)\n")
    assert project.runpytest_subprocess("--os-record=fake").ret == 9

    assert _recording(project, "test_it.test_tiers").read_bytes() == before
    assert _names(project) == ["test_it.test_tiers.jsonl"]


def test_recording_that_cannot_be_saved_is_an_error(project: pytest.Pytester) -> None:
    """One line has the reason, and no other file is left."""
    project.makepyfile(test_it=TIERS)
    (project.path / "recordings").write_text("no folder")

    result = project.runpytest("--os-record=fake")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*recordings*: File exists"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_call_that_the_recording_cannot_hold_is_an_error(project: pytest.Pytester) -> None:
    """Even if the code under test has caught the exception."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    before = _recording(project, "test_it.test_tiers").read_bytes()
    project.makepyfile(
        test_it="""
        from chatarmin_os import CassetteError

        def test_tiers(recorded_os):
            recorded_os.transport.inner.send = lambda call: {1, 2}
            try:
                recorded_os.tiers.list()
            except CassetteError:
                pass
    """
    )

    result = project.runpytest("--os-record=fake")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["tiers.list was answered, and the recording cannot hold the answer: *"])
    assert _recording(project, "test_it.test_tiers").read_bytes() == before


@pytest.mark.slow
def test_plugin_works_without_docstrings(project: pytest.Pytester) -> None:
    """`python -OO` removes docstrings and assert statements."""
    project.makepyfile(
        test_it="""
        def test_tiers(recorded_os, fake_os):
            if recorded_os.tiers.get("pro") != fake_os.tiers.get("pro"):
                raise ValueError
    """
    )

    for options in (["--os-record=fake"], []):
        result = project.run(sys.executable, "-OO", "-m", "pytest", *options)
        result.assert_outcomes(passed=1)


def test_old_recordings_warn(project: pytest.Pytester) -> None:
    """Only those that are older than the given number of days."""
    project.makepyfile(test_it=TIERS)
    project.runpytest("--os-record=fake")
    path = _recording(project, "test_it.test_tiers")
    head, *calls = path.read_text().splitlines()

    assert "days old" not in project.runpytest("--os-max-age", "5").stdout.str()
    path.write_text("\n".join([json.dumps({**json.loads(head), "recorded_at": "2024-01-02T00:00:00Z"}), *calls]))
    old = project.runpytest("--os-max-age", "5", "-W", "default")
    assert old.parseoutcomes()["passed"] == 1
    old.stdout.fnmatch_lines(["*days old; this records it again: pytest *"])
    assert "days old" not in project.runpytest().stdout.str()


def test_age_is_measured_by_the_real_clock(project: pytest.Pytester) -> None:
    """A test that freezes time changes neither the age nor the date of a recording."""
    project.makepyfile(
        test_it="""
        import freezegun
        import pytest

        @pytest.fixture
        def frozen():
            with freezegun.freeze_time("2001-01-01") as time:
                yield
                time.move_to("2999-01-01")

        def test_tiers(frozen, recorded_os):
            assert recorded_os.tiers.get("pro").name == "Pro"
    """
    )

    for options in (["--os-record=fake"], ["--os-max-age", "5"]):
        result = project.runpytest("-W", "default", *options)
        result.assert_outcomes(passed=1)
        assert "days old" not in result.stdout.str()


def test_fixture_redacts_recordings(project: pytest.Pytester) -> None:
    """A project chooses its redactor once."""
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
    """The failure lists added, removed and changed places, and only the first of many."""
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = client.onboard(external_org_id="org_1", tier_code="free").company_id or ""
    before = fake.snapshot()
    assert_same_state(before, fake)
    client.billing.track_usage(company_id=company, feature_code="ai_credit", quantity=5, idempotency_key="k")
    client.features.set_access(company_id=company, feature_code="ai_credit", quantity_limit=7)

    with pytest.raises(AssertionError) as failed:
        assert_same_state(before, fake)
    message = str(failed.value)
    assert f"~ access.{company}.ai_credit.quantityLimit: 100 -> 7" in message
    assert f"+ usage.{company}.ai_credit: '5'" in message
    with pytest.raises(AssertionError, match=r"- events\.k"):
        assert_same_state(fake, before)

    one: Any = {**before, "clock_offset_microseconds": 1}
    with pytest.raises(AssertionError, match="differ at 1 place:"):
        assert_same_state(before, one)
    with pytest.raises(AssertionError, match=r"and [0-9]+ more"):
        assert_same_state({}, before)
