"""Public names, tables, signatures, docstrings, imports and the version of the package."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest

import chatarmin_os
import chatarmin_os.drift
import chatarmin_os.fake
import chatarmin_os.gate
import chatarmin_os.outbox
import chatarmin_os.transports
from chatarmin_os import PROCEDURES, UNSET, ApiError, ChatarminError, ChatarminOS, NotFoundError
from chatarmin_os._converter import wire_name
from chatarmin_os._version import __version__
from chatarmin_os.fake.router import ROUTES
from chatarmin_os.procedures.from_json import request_from_json
from chatarmin_os.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from chatarmin_os.transports import Call

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "chatarmin_os").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PACKAGES = [chatarmin_os, chatarmin_os.transports, chatarmin_os.fake, chatarmin_os.gate, chatarmin_os.outbox]
LAZY = [chatarmin_os, chatarmin_os.transports, chatarmin_os.gate, chatarmin_os.outbox]

# The documented methods: arguments, their order, kinds and defaults, and the result.
SIGNATURES = """
companies.get_by_product_link(*, external_org_id) -> Company | None
companies.create(*, name, external_org_id, domain=None, contact_email=None, contact_name=None, created_at=None) -> Company
companies.update(*, company_id, created_at) -> Company
companies.smart_link(*, external_org_id, hints=None, min_confidence=None) -> SmartLinkResult
contacts.create(*, company_id, email, name=None, role=None, is_primary=None, avatar_url=None, metadata=None) -> Contact
contacts.bulk_upsert(*, company_id, contacts) -> BulkUpsertResult
contacts.list(company_id, *, primary_only=False) -> list[Contact]
features.check(*, company_id, feature_code) -> FeatureAccess
features.list_access(company_id) -> list[FeatureAccess]
features.set_access(*, company_id=None, external_org_id=None, feature_code, is_enabled=None, quantity_limit=UNSET, included_quantity=UNSET, config=None, source=None, valid_until=UNSET) -> FeatureAccess
features.get_access_by_external_org_id(external_org_id) -> OrgFeatures
features.check_by_external_org_id(external_org_id, feature_code) -> FeatureAccess
billing.track_usage(*, company_id, feature_code, quantity, idempotency_key=None, metadata=None) -> UsageResult
billing.claim_checkout(*, company_id, checkout_session_id) -> ClaimResult
billing.link_subscription(*, company_id, stripe_subscription_id, stripe_customer_id=None, tier_code=None, display_name=None) -> LinkSubscriptionResult
billing.get_status(company_id) -> BillingStatus
tiers.list() -> list[TierSummary]
tiers.get(tier_code) -> Tier
tiers.apply(tier_code, *, company_id, features=None) -> ApplyTierResult
subscriptions.create(tier_code, *, company_id, features=None) -> ApplyTierResult
links.create(*, company_id, external_org_id, label=None, external_user_id=None) -> Link
links.reset(*, delete_contacts=False, reset_mrr=False) -> ResetResult
onboard(*, external_org_id, hints=None, tier_code=None, contact_email=None, contact_name=None, created_at=None, checkout_session_id=None, stripe_subscription_id=None, stripe_customer_id=None) -> OnboardResult
""".strip().splitlines()  # noqa: E501 - one method a line
COMPOSED = [
    "sign_up(*, external_org_id, name, verified_domain=None, starting_tier=None, contact_email=None, contact_name=None, created_at=None) -> SignUpResult",  # noqa: E501 - one method a line
]
WAYS_TO_SEND = [
    "send(request) -> T",
    "batch(requests) -> list[T | ChatarminError]",
    "call(path, input=None, *, kind=None) -> JSON",
]
METHODS = [line.partition("(")[0] for line in SIGNATURES]

# A value for every argument that has no default.
ARGUMENTS: dict[str, Any] = {
    "checkout_session_id": "cs_test_1",
    "company_id": "c",
    "contacts": [],
    "created_at": "2024-01-15T10:30:00Z",
    "email": "ann@acme.com",
    "external_org_id": "org_1",
    "feature_code": "seats",
    "name": "Acme",
    "quantity": 1,
    "stripe_subscription_id": "sub_1",
    "tier_code": "pro",
}


class RefusingTransport(Transport):
    """A transport that refuses each call and keeps its path."""

    def __init__(self) -> None:
        """Start without paths."""
        self.paths: list[str] = []

    def send(self, call: Call) -> Any:
        """Keep the path of *call*, and refuse it."""
        self.paths.append(call.path)
        raise ApiError.from_code("NOT_FOUND")


def _method(name: str) -> Any:
    """Return the function of a method, such as that of `companies.create`."""
    noun, _, verb = name.rpartition(".")
    if not noun:
        return getattr(ChatarminOS, verb)
    return getattr(type(getattr(ChatarminOS.in_memory(), noun)), verb)


def _public(names: Iterator[str] | list[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    """Yield the modules of a package, further packages included."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            yield import_module(module.name)


def _public_classes(package: ModuleType) -> dict[str, type]:
    """Return the classes that the public modules of a package define."""
    return {
        name: one
        for module in _modules(package)
        if not any(part.startswith("_") for part in module.__name__.split("."))
        for name, one in vars(module).items()
        if isinstance(one, type) and one.__module__ == module.__name__ and not name.startswith("_")
    }


# Names


def _rank(name: str) -> tuple[int, str]:
    """Return the sort key of a name: constants first, then classes, then the rest."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_exported_names_are_sorted_and_exist(package: ModuleType) -> None:
    """`__all__` has constants, classes, then the rest, sorted, each name once; `getattr` and `dir` find all of them."""
    names = package.__all__

    assert sorted(set(names), key=_rank) == names
    assert set(names) <= set(dir(package))
    for name in names:
        assert getattr(package, name) is not None


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_star_import_brings_exported_names(package: ModuleType) -> None:
    """A star import brings the names of `__all__`, also those that are exported lazily."""
    names: dict[str, Any] = {}

    exec(f"from {package.__name__} import *", names)  # noqa: S102 - the statement under test

    del names["__builtins__"]
    assert {name: getattr(package, name) for name in package.__all__} == names


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_missing_name_raises_attribute_error(package: ModuleType) -> None:
    """The message names the package and the name that it lacks."""
    with pytest.raises(AttributeError, match=re.escape(f"module {package.__name__!r} has no attribute 'Teapot'")):
        _ = package.Teapot


def test_top_exports_models_requests_and_errors() -> None:
    """A user of the client imports every class from the top of the package."""
    errors = {
        name: one
        for name, one in vars(import_module("chatarmin_os.errors")).items()
        if isinstance(one, type) and issubclass(one, ChatarminError) and not name.startswith("_")
    }
    models = _public_classes(import_module("chatarmin_os.models"))
    requests = _public_classes(import_module("chatarmin_os.procedures"))
    others = {"ChatarminOS": ChatarminOS, "PROCEDURES": PROCEDURES, "UNSET": UNSET, "__version__": __version__}
    others |= {"request_from_json": request_from_json}

    assert {name: getattr(chatarmin_os, name) for name in chatarmin_os.__all__} == {
        **errors,
        **models,
        **requests,
        **others,
    }


def test_transports_are_exported() -> None:
    """The three kinds of transports, their interface and the calls that they answer are in one package."""
    names = {
        "Call",
        "FakeTransport",
        "FunctionTransport",
        "HTTPTransport",
        "RecordingTransport",
        "ReplayTransport",
        "Transport",
    }

    assert set(chatarmin_os.transports.__all__) == names
    assert chatarmin_os.transports.FakeTransport is chatarmin_os.fake.FakeTransport


def test_fake_exports_transport_and_catalogue() -> None:
    """The package of the fake exports the transport, its catalogue, and the list of free mail providers."""
    assert set(chatarmin_os.fake.__all__) == {"FREE_MAIL_DOMAINS", "Catalogue", "FakeTransport", "demo_catalogue"}


@pytest.mark.parametrize("package", LAZY, ids=lambda package: package.__name__)
def test_type_checkers_see_lazy_exports(package: ModuleType) -> None:
    """Under TYPE_CHECKING a package imports its lazy exports from the same modules."""
    assert package.__file__
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    (guarded,) = [node for node in tree.body if isinstance(node, ast.If)]
    (table,) = [
        ast.literal_eval(node.args[1])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lazy_exports"
    ]

    assert ast.unparse(guarded.test) == "TYPE_CHECKING"
    imported = {
        node.module: tuple(alias.name for alias in node.names)
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
    }
    assert imported == table
    assert {name for names in table.values() for name in names} <= set(package.__all__)


# Procedures


def test_every_procedure_has_a_handler() -> None:
    """The fake routes the procedures of the table and no others."""
    assert set(PROCEDURES) == set(ROUTES)


@pytest.mark.parametrize("path", PROCEDURES)
def test_handler_takes_input_of_its_request(path: str) -> None:
    """Fake and request agree on the kind, the keys of the input, and which keys are required."""
    request: Any = PROCEDURES[path]
    route = ROUTES[path]
    sent = {wire_name(field.name): field.default is attrs.NOTHING for field in attrs.fields(request)}

    assert request.kind == route.kind
    assert sent == {key: field.is_required for key, field in route.schema.items()}


def test_every_procedure_has_one_method() -> None:
    """One method sends each procedure, two send `tiers.apply`, and no method sends anything else."""
    transport = RefusingTransport()
    client = ChatarminOS(transport=transport)

    for name in METHODS:
        method = _method(name)
        owner = getattr(client, name.partition(".")[0]) if "." in name else client
        needed = {
            parameter.name: ARGUMENTS[parameter.name]
            for parameter in inspect.signature(method).parameters.values()
            if parameter.name != "self" and (parameter.default is parameter.empty or parameter.name == "company_id")
        }
        with pytest.raises(NotFoundError):
            method(owner, **needed)

    assert Counter([*PROCEDURES, "tiers.apply"]) == Counter(transport.paths)


# Methods


def test_no_other_methods_exist() -> None:
    """The table above lists every public method of the resources, and the methods of the client that send."""
    client = ChatarminOS.in_memory()
    nouns = ["companies", "contacts", "features", "billing", "tiers", "subscriptions", "links"]
    methods = {f"{noun}.{verb}" for noun in nouns for verb in _public(dir(getattr(client, noun)))}
    rest = {"send", "batch", "call", "in_memory", "lazy", "with_options", "close", "transport"}

    assert set(METHODS) == {*methods, "onboard"}
    assert set(_public(dir(client))) == {*nouns, *rest, "onboard", "sign_up"}
    assert len(METHODS) == 23


@pytest.mark.parametrize("documented", [*SIGNATURES, *COMPOSED, *WAYS_TO_SEND], ids=lambda line: line.partition("(")[0])
def test_method_has_documented_signature(documented: str) -> None:
    """The arguments, their order, kinds and defaults, and the result are the documented ones."""
    name = documented.partition("(")[0]
    signature = inspect.signature(_method(name))
    parameters = [one.replace(annotation=one.empty) for one in signature.parameters.values() if one.name != "self"]
    result = str(signature.return_annotation).replace("builtins.", "")

    assert f"{name}{inspect.Signature(parameters)} -> {result}" == documented


def test_constructor_takes_documented_arguments() -> None:
    """Only the key is positional, and every argument has a default."""
    parameters = inspect.signature(ChatarminOS).parameters.values()

    assert [(one.name, one.kind is one.KEYWORD_ONLY) for one in parameters] == [
        ("api_key", False),
        ("base_url", True),
        ("transport", True),
        ("timeout", True),
        ("max_retries", True),
        ("allow_http", True),
    ]
    assert all(one.default is not one.empty for one in parameters)


def _functions() -> Iterator[Any]:
    """Yield the public functions, and the methods that public classes define first."""
    yield from map(_method, METHODS)
    packages = chatarmin_os, chatarmin_os.transports, chatarmin_os.fake, chatarmin_os.outbox, chatarmin_os.drift
    for exported in (getattr(package, name) for package in packages for name in package.__all__):
        if inspect.isfunction(exported):
            yield exported
        for name, member in vars(exported).items() if inspect.isclass(exported) else ():
            method = getattr(member, "__func__", member)
            is_override = any(hasattr(parent, name) for parent in exported.__mro__[1:])
            if inspect.isfunction(method) and not name.startswith("_") and not is_override:
                yield method


@pytest.mark.parametrize("function", dict.fromkeys(_functions()), ids=lambda function: function.__qualname__)
def test_function_describes_its_arguments_and_has_an_example(function: Any) -> None:
    """The docstring of a public function names each argument, and has an example that the doctests find."""
    docstring = inspect.getdoc(function) or ""
    arguments = [
        name for name in inspect.signature(function).parameters if name not in {"self", "cls", "args", "kwargs"}
    ]

    assert [name for name in arguments if f"\n    {name}: " not in docstring] == []
    assert "\nExample:\n    >>> " in docstring


# Docstrings


def _documentable(path: Path) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef]]:
    """Yield a module and its public classes, functions and methods, each with its name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    yield "the module", tree
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            for method in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                    yield f"{node.name}.{method.name}", method


def test_everything_public_has_a_docstring() -> None:
    """Every module has a docstring, and every public class, function and method in it."""
    undocumented = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name, node in _documentable(path)
        if not ast.get_docstring(node)
    ]

    assert undocumented == []


def test_map_of_the_outbox_names_its_modules() -> None:
    """The docstring of the package says where to look, and leaves no module out."""
    named = set(re.findall(r"`(\w+)`", chatarmin_os.outbox.__doc__ or ""))

    assert {module.name for module in pkgutil.iter_modules(chatarmin_os.outbox.__path__)} - named == set()


def test_every_test_states_a_behaviour() -> None:
    """The docstring of each test is a sentence."""
    tests = [
        (path.relative_to(ROOT), node)
        for path in TESTS
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test")
    ]

    silent = [f"{path}: {test.name}" for path, test in tests if not (ast.get_docstring(test) or "").endswith(".")]
    assert silent == []


# Imports, files and the version


def _run_in_fresh_interpreter(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own code


@pytest.mark.parametrize(
    "code",
    [
        "import chatarmin_os",
        "from chatarmin_os import *",
        "import chatarmin_os.transports, chatarmin_os.fake",
        "import chatarmin_os; chatarmin_os.ChatarminOS.in_memory().onboard(external_org_id='o', tier_code='free')",
    ],
    ids=["top", "star", "transports-and-fake", "in-memory"],
)
def test_package_and_fake_do_not_import_requests(code: str) -> None:
    """Importing the package and using it in memory raises no warning and does not import requests."""
    done = _run_in_fresh_interpreter(f"{code}\nimport sys\nprint(sorted({{'requests', 'urllib3'}} & set(sys.modules)))")

    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


def test_importing_package_defines_no_model() -> None:
    """The first use of a model imports the models, and the library that reads them."""
    done = _run_in_fresh_interpreter(
        "import sys, chatarmin_os\n"
        "print([name for name in sys.modules if name.startswith(('chatarmin_os.models', 'cattrs'))])\n"
        "print(chatarmin_os.Company.__name__, 'Tier' in dir(chatarmin_os))\n"
    )

    assert (done.stdout, done.stderr) == ("[]\nCompany True\n", "")


_MACHINE_PATH = re.compile(r"(?<![\w.:/])/(?:home|Users|root|work|tmp|mnt|opt|venv|private)/|\b[A-Z]:\\+Users\b")


def test_no_file_names_a_path_of_a_machine() -> None:
    """Published files do not say where someone wrote them."""
    paths = [*SOURCES, *TESTS, *sorted(ROOT.glob("*.md")), ROOT / "setup.cfg", ROOT / "pyproject.toml"]
    found = {str(path.relative_to(ROOT)): _MACHINE_PATH.findall(path.read_text(encoding="utf-8")) for path in paths}

    assert {path: places for path, places in found.items() if places} == {}


def test_changelog_describes_this_version() -> None:
    """The changelog begins with the version of the package, and every version has a date."""
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    versions = [heading for heading in headings if heading != "[Unreleased]"]

    assert versions
    assert f"[{__version__}]" == versions[0].partition(" ")[0]
    for heading in versions:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}( \[YANKED\])?", heading)
    assert "[Unreleased]" not in headings[1:]


def test_version_is_exported() -> None:
    """The package exports the version that its metadata has."""
    assert __version__ == chatarmin_os.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
