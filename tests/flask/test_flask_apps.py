"""Setting up apps: settings, several apps, processes, and the commands of `flask chatarmin`."""

from __future__ import annotations

import gc
import runpy
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_apps import ACME, Shop

from chatarmin_os import ChatarminOS, InvalidInput
from chatarmin_os.fake import FakeTransport, demo_catalogue
from chatarmin_os.flask import Chatarmin
from chatarmin_os.gate import DictCache, Gate
from chatarmin_os.web.services import Services

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def _app(**settings: Any) -> Flask:
    app = Flask("shop")
    app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake", **settings}
    return app


def test_missing_framework_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Flask the import fails with the command that installs it."""
    monkeypatch.setitem(sys.modules, "flask", None)

    with pytest.raises(ImportError, match=r"^chatarmin_os.flask needs Flask: pip install 'chatarmin-os\[flask\]'$"):
        runpy.run_path(str(ROOT / "chatarmin_os" / "integrations" / "flask" / "__init__.py"))


# Settings


def test_invalid_settings_raise_at_once() -> None:
    """All problems that need no import are in one error, when the app is set up."""
    with pytest.raises(InvalidInput) as raised:
        Chatarmin(_app(TIMEOUT="soon", FEATURES={"sso": {"max_agee": 1}}, OUTBOX=5))

    for name in ("CHATARMIN_OS.TIMEOUT", "did you mean max_age?", "OUTBOX"):
        assert name in str(raised.value)


def test_alias_of_a_django_cache_is_named() -> None:
    """CACHE is no alias here."""
    with pytest.raises(
        InvalidInput, match=r"CHATARMIN_OS\.CACHE: 'default' would be the alias of a Django cache; pass"
    ):
        Chatarmin(_app(CACHE="default"))


def test_app_without_settings_needs_a_key_at_its_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app can be created, and its routes listed, without a key."""
    monkeypatch.delenv("OS_API_KEY", raising=False)
    app = Flask("shop")
    chatarmin = Chatarmin(app)

    with app.app_context():
        with pytest.raises(InvalidInput, match=r"CHATARMIN_OS\.API_KEY: is missing"):
            _ = chatarmin.client
        monkeypatch.setenv("OS_API_KEY", "os_sk_test_1")
        assert isinstance(chatarmin.client, ChatarminOS)


def test_settings_are_read_late() -> None:
    """A setting that a test changes after the app was created counts, until it is first needed."""
    app, chatarmin = _app(), Chatarmin()
    chatarmin.init_app(app)
    fake = FakeTransport(demo_catalogue())
    app.config["CHATARMIN_OS"] = {"TRANSPORT": fake}

    with app.app_context():
        assert chatarmin.client.transport is fake


def test_settings_that_became_invalid_raise_at_their_first_use() -> None:
    """A mistake in a late change is found as well."""
    app = _app()
    chatarmin = Chatarmin(app)
    app.config["CHATARMIN_OS"] = {"TRANSPRT": "fake"}

    with app.app_context(), pytest.raises(InvalidInput, match="did you mean TRANSPORT"):
        _ = chatarmin.gate


def test_second_set_up_reads_the_settings_again() -> None:
    """An app may be set up again, also after its first request, with other settings."""
    shop = Shop()
    shop.app.add_url_rule("/", view_func=shop.chatarmin.requires_feature("ai_credit")(lambda: "seen"))
    assert shop.browser.get("/", headers=ACME).text == "seen"

    shop.app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake"}
    shop.chatarmin.init_app(shop.app)

    assert shop.browser.get("/", headers=ACME).get_json()["reason"] == "not_linked"


def test_objects_are_those_of_the_app() -> None:
    """Client and gate are created once; there is no outbox."""
    shop = Shop(CACHE=DictCache(), GATE={"timeout": 0.1})

    with shop.app.app_context():
        assert isinstance(shop.chatarmin.gate, Gate)
        assert shop.chatarmin.gate is shop.chatarmin.gate
        assert shop.chatarmin.gate.client is shop.chatarmin.client
        assert shop.chatarmin.outbox is None


def test_apps_share_decisions_through_a_cache() -> None:
    """CACHE has the decisions of one app for the other, if their services are the same."""

    class Identified(FakeTransport):
        def fingerprint(self) -> str:
            return "product"

    fake, cache = Identified(demo_catalogue()), DictCache()
    ChatarminOS(transport=fake).onboard(external_org_id="org_1", tier_code="free")
    chatarmin = Chatarmin()
    for source in ("live", "cache"):
        app = _app(TRANSPORT=fake, CACHE=cache)
        chatarmin.init_app(app)
        with app.app_context():
            decision = chatarmin.gate.check(external_org_id="org_1", feature_code="ai_credit")
        assert (decision.allowed, decision.source) == (True, source)


@pytest.mark.parametrize("name", ["client", "gate", "outbox"])
def test_objects_need_an_app(name: str) -> None:
    """Without an app, or for one that was not set up, the error has advice."""
    chatarmin = Chatarmin(_app())

    with pytest.raises(RuntimeError, match="no app is active; use chatarmin within a request, or within"):
        getattr(chatarmin, name)
    with Flask("other").app_context(), pytest.raises(RuntimeError, match=r"'other' has no chatarmin; call .*init_app"):
        getattr(chatarmin, name)


def test_extension_keeps_nothing_of_an_app() -> None:
    """The set-up of an app leaves the object as it was; the app has its own state."""
    chatarmin = Chatarmin()
    before = dict(vars(chatarmin))
    app = _app()
    chatarmin.init_app(app)
    with app.app_context():
        _ = chatarmin.gate

    assert vars(chatarmin) == before
    assert isinstance(app.extensions["chatarmin_os"], Services)


def test_app_that_is_dropped_is_freed() -> None:
    """An extension that outlives its apps keeps none of them alive, nor their gates."""
    chatarmin = Chatarmin()
    chatarmin.organisation_loader(lambda: "org_1")

    def serve() -> list[weakref.ref[Any]]:
        app = _app()
        chatarmin.init_app(app)
        app.add_url_rule("/", view_func=chatarmin.requires_feature("sso")(lambda: "never"))
        assert app.test_client().get("/", headers={"Accept": "text/html"}).status_code == 403
        return [weakref.ref(app), weakref.ref(app.extensions["chatarmin_os"].gate)]

    references = serve()
    gc.collect()

    assert [reference() for reference in references] == [None, None]


def test_threads_get_the_same_gate() -> None:
    """Threads that need the gate first at the same time get the same one."""
    gathered = threading.Barrier(8)

    def transport() -> FakeTransport:
        gathered.wait(timeout=10)  # each thread creates a client before any of them has one
        return FakeTransport(demo_catalogue())

    app = _app(TRANSPORT=transport)
    chatarmin = Chatarmin(app)
    gates: list[Gate] = []

    def read() -> None:
        with app.app_context():
            gates.append(chatarmin.gate)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({id(gate) for gate in gates}) == 1
    assert len({id(gate.client) for gate in gates}) == 1


def test_forked_child_keeps_deciding() -> None:
    """A child of a process that has a gate uses it."""
    code = (
        "import os\n"
        "from flask_apps import ACME, Shop\n"
        "shop = Shop()\n"
        "shop.app.add_url_rule('/', view_func=shop.chatarmin.requires_feature('ai_credit')(lambda: 'seen'))\n"
        "shop.browser.get('/', headers=ACME)\n"
        "if os.fork() == 0:\n"
        "    text = shop.browser.get('/', headers=ACME).text\n"
        "    os._exit(0 if text == 'seen' and len(shop.paths) == 1 else 1)\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("0\n", "")


def test_import_needs_no_django() -> None:
    """The extension imports neither Django nor asgiref, and importing the package no Flask."""
    code = (
        "import sys, chatarmin_os, chatarmin_os.web.settings; print('flask' in sys.modules)\n"
        "import chatarmin_os.flask; print(sorted({'django', 'asgiref', 'requests'} & set(sys.modules)))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("False\n[]\n", "")


def test_app_runs_where_django_cannot_be_imported() -> None:
    """Without Django a view is guarded, a page is denied, and usage is counted."""
    code = (
        "import sys; sys.modules['django'] = None; sys.path.insert(0, '.')\n"
        "from flask_apps import ACME, HTML, Shop\n"
        "shop = Shop()\n"
        "guard = shop.chatarmin.requires_feature\n"
        "use = lambda: shop.chatarmin.track_usage('ai_credit') or 'a'\n"
        "shop.app.add_url_rule('/a', 'a', view_func=guard('ai_credit')(use))\n"
        "shop.app.add_url_rule('/b', 'b', view_func=guard('sso')(lambda: 'b'))\n"
        "found = [shop.browser.get(path, headers={**ACME, **HTML}).status_code for path in ('/a', '/b')]\n"
        "print(found, shop.used(), sorted(name for name in sys.modules if name.startswith('django')))"
    )
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)  # noqa: S603

    assert (done.stdout, done.stderr) == ("[200, 403] 1 ['django']\n", "")


# Commands


@pytest.fixture
def shop() -> Shop:
    """Return a shop whose organisation has the tier Pro."""
    shop = Shop("enterprise")
    shop.client.billing.track_usage(company_id=shop.company_id, feature_code="ai_credit", quantity=7)
    return shop


def _run(shop: Shop, *arguments: str) -> tuple[int, str]:
    result = shop.app.test_cli_runner().invoke(args=["chatarmin", *arguments])
    return result.exit_code, result.output


def test_status_shows_company_and_features(shop: Shop) -> None:
    """The command shows the company, and each feature with its reason and numbers."""
    code, output = _run(shop, "status", "org_1")

    assert code == 0
    lines = [line.split() for line in output.splitlines()]
    assert lines[0] == ["org_1", "is", "org_1"]
    assert lines[1] == ["feature", "allowed", "reason", "used", "limit", "valid", "until", "source"]
    assert lines[3] == ["ai_credit", "yes", "allowed", "7", "unlimited", "-", "live"]


def test_status_of_an_unknown_organisation(shop: Shop) -> None:
    """An organisation that is not linked is no error."""
    assert _run(shop, "status", "org_2") == (0, "org_2 is not linked to a company: every feature is denied\n")


def test_status_of_a_product_without_features() -> None:
    """A company may have no features at all."""
    fake = FakeTransport()
    ChatarminOS(transport=fake).onboard(external_org_id="org_1")
    shop = Shop(TRANSPORT=fake)

    assert _run(shop, "status", "org_1")[1].endswith("It has no features.\n")


def test_check_shows_the_decision(shop: Shop) -> None:
    """The command succeeds also if the feature is denied."""
    code, output = _run(shop, "check", "org_2", "sso")

    assert code == 0
    assert output.splitlines()[-1].split() == ["sso", "no", "not_linked", "-", "-", "-", "live"]


@pytest.mark.parametrize(
    ("error", "code"), [("UNAUTHORIZED", 1), ("SERVICE_UNAVAILABLE", 1), ("lost", 3)], ids=["refused", "failed", "lost"]
)
def test_failure_is_one_line(shop: Shop, error: str, code: int) -> None:
    """A command that fails prints one line and has an exit code of its own."""
    shop.fake.fail(error=error, times=9)

    status = _run(shop, "status", "org_1")

    assert status[0] == code
    assert status[1].startswith("flask chatarmin: ")
    assert status[1].count("\n") == 1


def test_check_names_invalid_arguments(shop: Shop) -> None:
    """A blank id is wrong usage."""
    assert _run(shop, "check", " ", "sso") == (2, "flask chatarmin: external_org_id: must not be blank\n")


@pytest.mark.parametrize("arguments", [(), ("status",), ("drain", "--follow")])
def test_outbox_is_missing(shop: Shop, arguments: tuple[str, ...]) -> None:
    """Every use of the outbox says that there is none."""
    assert _run(shop, "outbox", *arguments) == (
        2,
        "flask chatarmin: no outbox is configured: the setting OUTBOX of CHATARMIN_OS is None\n",
    )
