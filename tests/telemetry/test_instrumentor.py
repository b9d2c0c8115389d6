"""The instrumentor: all clients of a process, in programs, servers and forked workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation.requests import RequestsInstrumentor

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.fake.server import serve_fake
from chatarmin_os.gate import Gate
from chatarmin_os.integrations.opentelemetry import Instrumentor, instrument, uninstrument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recorded import Recorded


@pytest.fixture
def instrumentor(recorded: Recorded) -> Iterator[Instrumentor]:
    """Return an instrumentor that is in force."""
    instrumentor = Instrumentor()
    instrumentor.instrument(**recorded.settings)
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


class Subclass(ChatarminOS):
    """A client of an application."""


def test_all_clients_are_recorded(demo: FakeTransport, recorded: Recorded) -> None:
    """Those that exist, lazy ones, subclasses and gates too; none afterwards."""
    before = ChatarminOS(transport=demo)
    gate = Gate(before)
    Instrumentor().instrument(**recorded.settings)
    try:
        before.tiers.list()
        Subclass(transport=demo).tiers.list()
        ChatarminOS.lazy(transport=demo).tiers.list()
        gate.check(external_org_id="org_1", feature_code="sso")
    finally:
        Instrumentor().uninstrument()
    before.tiers.list()

    assert recorded.names() == ["tiers.list"] * 3 + ["features.getAccessByExternalOrgId"]
    assert len(recorded.points("chatarmin_os.gate.decisions")) == 1


def test_instrumentor_is_one_switch(instrumentor: Instrumentor, demo: FakeTransport, recorded: Recorded) -> None:
    """It is one object; a second `instrument` changes nothing, and it needs no other package."""
    assert Instrumentor() is instrumentor
    instrumentor.instrument()
    ChatarminOS(transport=demo).tiers.list()

    assert recorded.names() == ["tiers.list"]
    assert list(instrumentor.instrumentation_dependencies()) == []


def test_client_keeps_its_own_providers(instrumentor: Instrumentor, demo: FakeTransport, recorded: Recorded) -> None:
    """A call has one span: with the providers of `instrument`, and with those of the instrumentor after its end."""
    own = type(recorded)()
    client = instrument(ChatarminOS(transport=demo), **own.settings)
    client.tiers.list()
    assert (own.names(), recorded.names()) == (["tiers.list"], [])

    uninstrument(client).tiers.list()
    assert (own.names(), recorded.names()) == (["tiers.list"], ["tiers.list"])
    instrumentor.uninstrument()
    own.close()


def test_lazy_client_without_a_key_has_no_span(instrumentor: Instrumentor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was sent: the error is that of the missing key."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    with pytest.raises(ValueError, match="api_key"):
        ChatarminOS.lazy().tiers.list()
    instrumentor.uninstrument()


def test_entry_point_leads_to_the_instrumentor() -> None:
    """`opentelemetry-instrument` finds it by the name with which it can be switched off."""
    [found] = [one for one in entry_points(group="opentelemetry_instrumentor") if one.name == "chatarmin_os"]
    assert found.load() is Instrumentor


# Programs

_EXPORTER = """
import atexit, json, os
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
def show():
    print(json.dumps([[span.name, span.kind.name] for span in spans.get_finished_spans()]), flush=True)
"""


def _run(command: list[str], folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    off = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    done = subprocess.run(  # noqa: S603 - our own
        command, cwd=folder, env=clean | off | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _instrumented(program: str, folder: Path, **environment: str) -> list[list[str]]:
    """Run a program under `opentelemetry-instrument`, and return the spans that it shows."""
    (folder / "app.py").write_text(program, encoding="utf-8")
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    output = _run([str(launcher), sys.executable, "app.py"], folder, **environment)
    spans: list[list[str]] = json.loads(output.splitlines()[-1])
    return spans


_PROGRAM = f"""{_EXPORTER}
from chatarmin_os import ChatarminOS
with ChatarminOS() as client:
    client.tiers.get("free")
show()
"""


@pytest.mark.slow
def test_program_is_recorded(tmp_path: Path) -> None:
    """`opentelemetry-instrument python app.py` records it next to HTTP instrumentation, unless switched off."""
    with serve_fake({"os_sk_test": FakeTransport(demo_catalogue())}) as url:
        settings = {"OS_API_KEY": "os_sk_test", "OS_BASE_URL": url}
        assert _instrumented(_PROGRAM, tmp_path, **settings) == [["tiers.get", "CLIENT"]]
        without = _instrumented(_PROGRAM, tmp_path, **settings, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="chatarmin_os")
        assert without == [["GET", "CLIENT"]]


_FORKING = f"""{_EXPORTER}
import sys
from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate
client = ChatarminOS.in_memory()
gate = Gate(client)
client.tiers.list()
child = os.fork()
client.tiers.get("free")
gate.check(external_org_id="org_1", feature_code="sso")
if not child:
    show()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.slow
def test_forked_worker_is_recorded(tmp_path: Path) -> None:
    """A child goes on with the instrumentation of its parent."""
    names = [name for name, _ in _instrumented(_FORKING, tmp_path)]
    assert names == ["tiers.list", "tiers.get", "features.getAccessByExternalOrgId"]


_FLASK = f"""{_EXPORTER}
from flask import Flask
from chatarmin_os.flask import Chatarmin
app = Flask(__name__)
app.config["CHATARMIN_OS"] = {{"TRANSPORT": "fake"}}
chatarmin = Chatarmin(app)
@chatarmin.organisation_loader
def organisation():
    return "org_1"
@app.get("/sync")
@chatarmin.requires_feature("sso")
def sync():
    return "yes"
@app.get("/async")
@chatarmin.requires_feature("sso")
async def later():
    return "yes"
browser = app.test_client()
with app.app_context():
    chatarmin.client.tiers.list()
assert [browser.get(path).status_code for path in ("/sync", "/async")] == [403, 403]
show()
"""

_DJANGO = f"""{_EXPORTER}
import django
from django.conf import settings
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
settings.configure(
    ALLOWED_HOSTS=["testserver"], DEBUG=False, ROOT_URLCONF=__name__, SECRET_KEY="x",
    INSTALLED_APPS=["chatarmin_os.django"], CHATARMIN_OS={{"TRANSPORT": "fake", "ORGANISATION": "app.organisation"}},
    TEMPLATES=[{{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}}],
)
sys = __import__("sys")
sys.modules["app"] = sys.modules[__name__]
def organisation(request):
    return "org_1"
django.setup()
from chatarmin_os.django import get_client, requires_feature
@requires_feature("sso")
def sync(request):
    return HttpResponse("yes")
@requires_feature("sso")
async def later(request):
    return HttpResponse("yes")
urlpatterns = [path("sync", sync), path("async", later)]
get_client().tiers.list()
assert Client().get("/sync").status_code == 403
import asyncio
assert asyncio.run(AsyncClient().get("/async")).status_code == 403
show()
"""


@pytest.mark.slow
@pytest.mark.parametrize("program", [_FLASK, _DJANGO], ids=["flask", "django"])
def test_web_application_is_recorded(program: str, tmp_path: Path) -> None:
    """Its client and its gate, in views of both kinds."""
    names = [name for name, kind in _instrumented(program, tmp_path) if kind == "CLIENT"]
    assert names == ["tiers.list", "features.getAccessByExternalOrgId"]


def test_nothing_is_imported_where_it_is_off(tmp_path: Path) -> None:
    """A call imports nothing of OpenTelemetry."""
    program = """
import sys
from chatarmin_os import ChatarminOS
from chatarmin_os.gate import Gate
client = ChatarminOS.in_memory()
client.tiers.list()
Gate(client).check(external_org_id="org_1", feature_code="sso")
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    assert _run([sys.executable, "-c", program], tmp_path).strip() == "[]"


def test_instrumentor_imports_little(tmp_path: Path) -> None:
    """`opentelemetry-instrument` loads it in every program: it imports neither requests nor a model."""
    program = """
import sys
from chatarmin_os.integrations.opentelemetry import Instrumentor
Instrumentor().instrument()
print([name for name in ("requests", "cattrs", "chatarmin_os.outbox") if name in sys.modules])
"""
    assert _run([sys.executable, "-c", program], tmp_path).strip() == "[]"


def test_http_instrumentation_of_other_calls_goes_on(instrumentor: Instrumentor, recorded: Recorded) -> None:
    """Only the requests of a recorded client have no spans of their own."""
    import requests

    RequestsInstrumentor().instrument(tracer_provider=recorded.tracer_provider)
    try:
        with serve_fake({"os_sk_test": FakeTransport(demo_catalogue())}) as url:
            with ChatarminOS("os_sk_test", base_url=url) as client:
                client.tiers.list()
            answer: Any = requests.get(f"{url}/tiers.list", headers={"Authorization": "Bearer os_sk_test"}, timeout=60)
    finally:
        RequestsInstrumentor().uninstrument()

    assert answer.status_code == 200
    assert recorded.names() == ["tiers.list", "GET"]
    instrumentor.uninstrument()
