"""Every example of the README and of the documentation runs, and both are complete."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from datetime import timedelta
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
import requests
from documentation import DOCS, ROOT, Block, Example, blocks, examples, is_django, pages, public_names

import chatarmin_os
from chatarmin_os import ChatarminOS
from chatarmin_os.cli import build_parser, main
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.gate import FeatureDenied

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_README_WORDS = 800

_DJANGO = {
    "shop/__init__.py": "",
    "settings.py": "from chatarmin_settings import *\n"
    'SECRET_KEY = "test"\nROOT_URLCONF = "shop.urls"\nALLOWED_HOSTS = ["testserver"]\n'
    'MIDDLEWARE = ["django.middleware.csrf.CsrfViewMiddleware", *globals().get("MIDDLEWARE", [])]\n'
    'DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}\n',
    "shop/urls.py": "from django.urls import path\n\nfrom shop.views import report\n\n"
    'urlpatterns = [path("reports/<report_id>", report)]\n',
    "set_up_django.py": "import django\n\ndjango.setup()\n",
}


def _id(example: Example) -> str:
    return example.name.replace("_", "-")


def _is_test(example: Example) -> bool:
    return "\ndef test_" in "".join(example.files.values()) or "shop/tests.py" in example.files


def _marked(example: Example) -> Any:
    needs_dask = "from distributed import" in "".join(example.files.values())
    return pytest.param(example, marks=[pytest.mark.slow, pytest.mark.needs("dask")] if needs_dask else [])


@pytest.mark.parametrize("example", [_marked(e) for e in examples() if not _is_test(e)], ids=_id)
def test_examples_run(
    example: Example, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code of each section can be pasted into one module."""
    assert [*example.files] == ["example.py"]
    monkeypatch.chdir(tmp_path)  # some write files

    exec(compile(example.files["example.py"], example.name, "exec"), {"__name__": "example"})  # noqa: S102 - our own pages

    assert not capsys.readouterr().err


@pytest.mark.parametrize("example", [e for e in examples() if _is_test(e)], ids=_id)
def test_examples_with_tests_pass(example: Example, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Test modules pass as a user runs them, without the configuration of this project."""
    folder = pytester.path
    _write({file.replace("example.py", "test_example.py"): code for file, code in example.files.items()}, folder)

    if is_django(example):
        _write({**_DJANGO, **example.files}, folder)
        _run((sys.executable, "-W", "error", "-m", "django", "test"), folder)
        if any(file.startswith("test_") for file in example.files):
            _run((sys.executable, "-W", "error", "-m", "pytest", "-p", "set_up_django"), folder)
    elif "pytest" in example.commands:
        _run(("bash", "-euc", example.commands), folder)
    else:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # some cannot be configured twice in one process
        assert pytester.runpytest_inprocess("-W", "error").ret == pytest.ExitCode.OK


def _write(files: dict[str, str], folder: Path) -> None:
    for file, code in files.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(code, encoding="utf-8")


def _run(command: tuple[str, ...], folder: Path, **variables: str) -> str:
    """Return the output of a command that runs in *folder* with this interpreter on its PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTEST_"))},
        "PATH": path,
        "DJANGO_SETTINGS_MODULE": "settings",
        **variables,
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own pages

    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_view_of_the_readme_is_gated() -> None:
    """The view runs under Flask: it counts a report once, refuses with 402 at the limit, and outlives an outage."""
    (example,) = (e for e in examples() if e.name == "readme_gate_a_page_in_flask_files")
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(compile(example.files["app.py"], example.name, "exec"), namespace)  # noqa: S102 - our own README
    fake = FakeTransport(demo_catalogue())
    client = ChatarminOS(transport=fake)
    company = client.sign_up(external_org_id="org_1", name="Acme Inc", starting_tier="free")
    browser = namespace["create_app"]({"TRANSPORT": fake}).test_client()

    def get(report: int, organisation: str = "org_1") -> int:
        status: int = browser.get(f"/reports/{report}", headers={"X-Organisation": organisation}).status_code
        return status

    assert [get(1), get(1)] == [200, 200]
    assert client.features.check(company_id=company.company_id, feature_code="ai_credit").current_usage == 1
    fake.fail(error="SERVICE_UNAVAILABLE", times=1)
    assert get(2) == 200
    client.billing.track_usage(company_id=company.company_id, feature_code="ai_credit", quantity=99)
    fake.advance(timedelta(seconds=3))  # the usage was tracked elsewhere
    assert get(3) == 402
    assert get(1, "org_2") == 403


def test_the_application_of_the_readme_starts(tmp_path: Path) -> None:
    """`flask --app app` finds the application of the README, which needs no arguments."""
    (example,) = (e for e in examples() if e.name == "readme_gate_a_page_in_flask_files")
    _write(example.files, tmp_path)

    routes = _run((sys.executable, "-W", "error", "-m", "flask", "--app", "app", "routes"), tmp_path)

    assert "/reports/<report_id>" in routes


def test_the_application_of_flask_starts(tmp_path: Path) -> None:
    """`flask --app wsgi` finds the application, which needs nothing but a key."""
    (example,) = (e for e in examples() if e.page == "flask" and "wsgi.py" in e.files)
    _write(example.files, tmp_path)

    routes = _run(
        (sys.executable, "-W", "error", "-m", "flask", "--app", "wsgi", "routes"), tmp_path, OS_API_KEY="os_sk_1"
    )

    assert "flask --app wsgi run" in example.commands
    assert "/orgs/<org_id>/sign-up" in routes


@contextmanager
def _serving(*options: str, folder: Path = ROOT) -> Iterator[str]:
    """Run `chatarmin-os serve` in *folder* on a free port, and yield its base URL."""
    command = [sys.executable, "-W", "error", "-m", "chatarmin_os", "serve", "--port", "0", *options]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """Run a local service with the demo catalogue."""
    with _serving() as url:
        yield url


def _commands() -> list[Block]:
    """Return the blocks of commands that need a local service."""
    return [
        block
        for block in blocks()
        if block.language == "sh"
        and block.page in {"command-line", "local-service"}
        and not block.code.startswith(("python3 -m venv", "docker"))
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on the PATH")
@pytest.mark.parametrize("block", _commands(), ids=lambda block: block.section.lower().replace(" ", "-"))
def test_commands_run_against_the_local_service(block: Block, base_url: str, tmp_path: Path) -> None:
    """Commands of the documentation succeed one after the other, as a user types them."""
    (tmp_path / ".curlrc").write_text("fail\nsilent\nshow-error\n")
    url, key = base_url.removesuffix("/api/v1"), f"os_sk_{tmp_path.name}"  # each test has a product
    session = requests.post(
        f"{url}/__fake__/stripe.add_checkout_session",
        headers={"x-api-key": key},
        json={"price_ids": ["price_pro_base"], "complete": False},
        timeout=10,
    )
    script = block.code.replace("127.0.0.1:3001", url.removeprefix("http://"))
    script = script.replace("localhost:3001", url.removeprefix("http://"))
    script = script.replace("cs_test_...", re.findall(r"cs_test_\w+", session.text)[0]).replace("os_sk_test", key)

    _run(("bash", "-O", "expand_aliases", "-euc", script), tmp_path, CURL_HOME=str(tmp_path))


def test_the_rehearsal_of_a_backfill_prints_what_the_page_shows(base_url: str, tmp_path: Path) -> None:
    """The dry run reports as on the page, and the corrected file is brought in."""
    page = [block for block in blocks() if block.page == "backfill" and block.section == "Rehearse it"]
    (customers,) = (block.code for block in page if block.title)
    (expected,) = (block.code for block in page if block.language == "text" and not block.title)
    (commands,) = (block.code for block in page if "backfill" in block.code and block.language == "sh")
    script = commands.replace("http://127.0.0.1:3001/api/v1", base_url)
    _write({"customers.csv": customers}, tmp_path)

    output = _run(("bash", "-uc", f"{script.strip()} || true"), tmp_path)

    assert re.sub(r"in \d+\.\d seconds", "in 0.5 seconds", output) == expected
    _write({"customers.csv": customers.replace("gold", "pro")}, tmp_path)
    assert "  3 done\n" in _run(("bash", "-euc", script.replace(" --dry-run", "")), tmp_path)


@pytest.mark.needs("trpc_client")
def test_the_example_in_typescript_runs(base_url: str, tmp_path: Path) -> None:
    """The client of tRPC makes the call of the page; the block has no types, so Node runs it unchanged."""
    folder = ROOT / "tests" / "trpc_client"
    (block,) = (block for block in blocks() if block.language == "ts")
    (tmp_path / "node_modules").symlink_to(folder / "v11" / "node_modules")
    script = block.code.replace("http://127.0.0.1:3001/api/v1", base_url).replace("os_sk_test", "os_sk_typescript")
    (tmp_path / "example.mjs").write_text(script + "console.log(company.linkStatus);\n")

    assert _run(("node", "example.mjs"), tmp_path) == "created\n"


def test_the_catalogue_file_is_served(tmp_path: Path) -> None:
    """`serve --catalogue` reads the JSON of the page."""
    (block,) = (block for block in blocks() if block.title == "catalogue.json")
    (tmp_path / block.title).write_text(block.code)

    with (
        _serving("--catalogue", block.title, folder=tmp_path) as url,
        ChatarminOS("os_sk_test", base_url=url) as client,
    ):
        codes = [tier.code for tier in client.tiers.list()]

    assert codes == [tier["code"] for tier in json.loads(block.code)["tiers"]]


def test_the_compose_file_names_options_that_exist() -> None:
    """The YAML of the page is valid, and `serve` knows its options."""
    (block,) = (block for block in blocks() if block.language == "yaml" and block.page != "outbox")
    services = importlib.import_module("yaml").safe_load(block.code)["services"]
    options = [word for word in services["fake"]["command"] if word.startswith("--")]

    known = _run((sys.executable, "-m", "chatarmin_os", "serve", "--help"), ROOT)

    assert options
    assert all(option in known for option in options)
    assert set(services["app"]["environment"]) == {"OS_API_KEY", "OS_BASE_URL", "OS_ALLOW_HTTP"}


def test_the_deployments_of_senders_are_valid() -> None:
    """The command line knows each command that drains, and the manifest is a Deployment whose labels match."""
    texts = [block for block in blocks() if block.page == "outbox" and block.language in {"text", "yaml"}]
    lines = [line for block in texts for line in block.code.splitlines() if "drain" in line]
    commands = [shlex.split(line[line.index("chatarmin-os") :]) for line in lines if '"' not in line]
    (manifest,) = (block for block in texts if block.language == "yaml")
    deployment = importlib.import_module("yaml").safe_load(manifest.code)
    template = deployment["spec"]["template"]
    commands += [container["command"] for container in template["spec"]["containers"]]

    given = [build_parser().parse_args(command[1:]) for command in commands]

    assert [(one.follow, one.deadline) for one in given] == [(True, None), (True, None), (False, 50.0), (True, None)]
    assert deployment["kind"] == "Deployment"
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_every_block_has_a_language_that_is_checked() -> None:
    """A block of another language would be neither run nor read by a type checker."""
    assert {block.language for block in blocks()} == {"json", "python", "sh", "text", "ts", "yaml"}


def test_the_table_of_methods_is_complete() -> None:
    """Every method of the client and of its resources is in the table, with all its arguments and their defaults."""
    rows = re.findall(r"^\| `([\w.]+\(.*?\))` \|", (DOCS / "methods.md").read_text(encoding="utf-8"), re.MULTILINE)
    client = ChatarminOS.in_memory()
    nouns = ["companies", "contacts", "features", "billing", "tiers", "subscriptions", "links"]
    methods = {
        f"{noun}.{name}": getattr(getattr(client, noun), name)
        for noun in nouns
        for name in dir(getattr(client, noun))
        if not name.startswith("_")
    }
    methods |= {name: getattr(client, name) for name in ("onboard", "sign_up", "send", "batch", "call", "with_options")}

    assert sorted(rows) == sorted(f"{name}{_without_types(method)}" for name, method in methods.items())


def _without_types(method: Any) -> Signature:
    parameters = [given.replace(annotation=Parameter.empty) for given in signature(method).parameters.values()]
    return Signature(parameters)


def test_the_reference_has_every_public_name() -> None:
    """Each public name has a line in the reference; `test_site` shows that the site describes it."""
    lines = [line for page in (DOCS / "reference").glob("*.md") for line in page.read_text().splitlines()]
    listed = [line.removeprefix("::: ") for line in lines if line.startswith("::: ")]

    assert sorted(listed) == public_names()


def test_the_docstring_of_a_model_explains_every_field() -> None:
    """`help(FeatureAccess)` and the reference list all fields of a model."""
    public = [getattr(chatarmin_os, name) for name in chatarmin_os.__all__]
    models = [one for one in public if getattr(one, "__module__", "").startswith("chatarmin_os.models.")]
    missing = [
        f"{model.__name__}.{field.name}"
        for model in models
        for field in attrs.fields(model)
        if not re.search(rf"^ +{field.name}: ", model.__doc__ or "", re.MULTILINE)
    ]

    assert len(models) > 20
    assert missing == []


def test_the_tree_of_errors_is_complete() -> None:
    """Each exception of the package is below its base class in the tree."""
    (tree,) = (block.code for block in blocks() if block.page == "errors" and block.language == "text")
    parents: list[str] = []
    found = {}
    for indentation, name in re.findall(r"^([ │├└─]*)(\w+)", tree, re.MULTILINE):
        del parents[len(indentation) // 4 :]
        found[name] = parents[-1] if parents else "Exception"
        parents.append(name)
    errors = [
        error
        for error in [*vars(chatarmin_os).values(), FeatureDenied]
        if isinstance(error, type) and issubclass(error, Exception)
    ]

    assert found == {error.__name__: _public_base(error) for error in errors}


def _public_base(error: type) -> str:
    return next(base.__name__ for base in error.__mro__[1:] if not base.__name__.startswith("_"))


def test_options_of_the_documentation_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option of `chatarmin-os` and of the plugin that a page names is in a help text."""
    commands = [
        "serve",
        "call",
        "onboard",
        "check",
        "track",
        "status",
        "quickstart",
        "completion",
        "assumptions",
        "backfill",
        "doctor",
    ]
    outbox = [["outbox", "usage.db", name] for name in ("status", "drain", "dead", "revive", "discard")]
    recording = [["recording", name] for name in ("check", "show", "redact")]
    for command in [*map(str.split, commands), *recording, *outbox]:
        with pytest.raises(SystemExit, match="0"):
            main([*command, "--help"])
    known = capsys.readouterr().out + (ROOT / "chatarmin_os" / "integrations" / "pytest.py").read_text(encoding="utf-8")
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages() if page.stem != "changelog")
    # Of pip, npm, docker, flask, gunicorn and zensical.
    others = {"--app", "--group", "--prefix", "--rm", "--env-file", "--preload", "--strict"}

    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - others

    assert len(named) > 20
    assert sorted(option for option in named if option not in known) == []


def test_variables_of_the_documentation_are_read() -> None:
    """Each environment variable that a page names occurs in the package."""
    source = "".join(module.read_text(encoding="utf-8") for module in (ROOT / "chatarmin_os").glob("**/*.py"))
    text = "".join(page.read_text(encoding="utf-8") for page in pages())

    named = set(re.findall(r"\b(?:OS|REQUESTS|CURL)_[A-Z_]+|\b[A-Z]+_PROXY", text))

    assert len(named) > 8
    assert sorted(name for name in named if name not in source) == []


def test_the_readme_is_short() -> None:
    """The README has at most 800 words, code included."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MAX_README_WORDS


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md"])
def test_links_of_a_page_lead_to_files(name: str) -> None:
    """Zensical checks the links of the documentation; these pages are read elsewhere too."""
    page = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []
