"""The extension: one object for any number of apps, of which it keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, TypeVar
from uuid import UUID

from flask import Blueprint, Flask, current_app, has_request_context, request

from chatarmin_os._input import Number, at_field, text
from chatarmin_os._json import describe
from chatarmin_os.client import ChatarminOS
from chatarmin_os.errors import InvalidInput
from chatarmin_os.gate import FeatureDenied, Gate, Metered, UsageEvent
from chatarmin_os.integrations.flask import commands, denial, usage
from chatarmin_os.integrations.flask.features import ClosedFeatures
from chatarmin_os.integrations.flask.services import EXTENSION, current_services, make_services, read_settings
from chatarmin_os.outbox import Outbox
from chatarmin_os.web.denial import TEMPLATES
from chatarmin_os.web.importing import function_at
from chatarmin_os.web.log import log_lost_usage
from chatarmin_os.web.organisation import check, denied_for_nobody, external_org_id
from chatarmin_os.web.settings import NAME
from chatarmin_os.web.usage import deliver, fields_of

F = TypeVar("F", bound=Callable[..., Any])
V = TypeVar("V", bound=Callable[..., Any])

_NOBODY = "(nobody)"
"""Stands for the organisation of a request without one, in the log."""


class Chatarmin:
    """ChatarminOS for Flask apps: views that need a feature, metered usage, templates and commands.

    The settings are those of `app.config["CHATARMIN_OS"]`; each app has its own client and gate, which are created when
    they are first needed. One object serves any number of apps.

    Args:
        app: The app to set up at once; more can follow with `init_app`.

    Raises:
        InvalidInput: The settings of *app* are invalid; all problems are named.

    Example:
        >>> from flask import Flask
        >>> from chatarmin_os.flask import Chatarmin
        >>> app = Flask("shop")
        >>> app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake"}
        >>> chatarmin = Chatarmin(app)
        >>> @chatarmin.organisation_loader
        ... def organisation():
        ...     return "org_1"
        >>> @app.get("/export")
        ... @chatarmin.requires_feature("exports")
        ... def export():
        ...     return "name,total"
        >>> app.test_client().get("/export").get_json()["reason"]
        'not_linked'
    """

    def __init__(self, app: Flask | None = None) -> None:
        self._load_organisation: Callable[[], Any] | None = None
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Set up an app; a second call for the same app reads its settings again.

        Args:
            app: The app, with its settings in `app.config["CHATARMIN_OS"]`.

        Raises:
            InvalidInput: The settings are invalid; all problems are named. A missing key, and an object that cannot be
                imported, raise when they are first needed.

        Example:
            >>> from flask import Flask
            >>> app = Flask("shop")
            >>> app.config["CHATARMIN_OS"] = {"TRANSPRT": "fake"}
            >>> Chatarmin().init_app(app)
            Traceback (most recent call last):
            ...
            chatarmin_os.errors.InvalidInput: CHATARMIN_OS.TRANSPRT: no such setting; did you mean TRANSPORT?
        """
        read_settings(app.config).ensure_valid()
        is_new = EXTENSION not in app.extensions
        app.extensions[EXTENSION] = make_services(app.config)
        features = ClosedFeatures(lambda: self.gate, self._organisation)
        app.jinja_env.globals.update(features=features, feature=features.__getitem__)
        if is_new:
            app.register_blueprint(Blueprint(EXTENSION, __name__, template_folder=str(TEMPLATES)))
            app.cli.add_command(commands.group)
            usage.set_up(app)
            if FeatureDenied not in app.error_handler_spec[None][None]:  # the app's own handler
                app.register_error_handler(FeatureDenied, denial.handle_denial)

    def organisation_loader(self, function: F) -> F:
        """Set the function that returns the external org id of the current request; a decorator.

        It is called for each check, as is a function in the setting ORGANISATION, which gets the request and is used if
        there is no loader.

        Args:
            function: Takes nothing; returns text or a UUID, or None for nobody, who is denied without asking the
                service. Its own errors pass through.

        Returns:
            The function itself.

        Raises:
            InvalidInput: It is not a function, or is `async`.

        Example:
            >>> @Chatarmin().organisation_loader
            ... def organisation():
            ...     return "org_1"
            >>> organisation()
            'org_1'
        """
        self._load_organisation = at_field("organisation_loader", function_at)(function)
        return function

    @property
    def client(self) -> ChatarminOS:
        """The client of the current app, created when it is first read.

        Raises:
            InvalidInput: The key is missing, or a setting is invalid.
            RuntimeError: No app is active, or it was not set up.
        """
        return current_services().client

    @property
    def gate(self) -> Gate:
        """The gate of the current app, created when it is first read.

        Raises:
            InvalidInput: The key is missing, or a setting is invalid.
            RuntimeError: No app is active, or it was not set up.
        """
        return current_services().gate

    @property
    def outbox(self) -> Outbox | None:
        """The outbox of the current app, opened when it is first read; None if the setting OUTBOX is.

        Raises:
            InvalidInput: A setting is invalid.
            OutboxUnavailable: Its file cannot be used.
            RuntimeError: No app is active, or it was not set up.
        """
        return current_services().outbox

    def requires_feature(
        self,
        feature_code: str,
        *,
        on_denied: denial.OnDenied | None = None,
        organisation: Callable[[], Any] | None = None,
    ) -> Callable[[V], V]:
        """Let a view run only if the organisation of the request may use a feature; a decorator.

        It belongs below the decorator of the route. The view may be `async`: the check then runs in a thread.

        Args:
            feature_code: The feature.
            on_denied: The response to a denied request: the name of a template (it ends in .html), the name of an
                endpoint to redirect to, or a function that takes the request and the decision; default: the page or
                JSON.
            organisation: Returns the external org id, as the loader does; default: the loader.

        Raises:
            InvalidInput: An invalid argument. In a request: the loader is missing or returned something else, or the
                key or another setting is.
            FeatureDenied: In a request: the decision does not allow the feature.

        Example:
            >>> from flask import Flask
            >>> app = Flask("shop")
            >>> app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake"}
            >>> chatarmin = Chatarmin(app)
            >>> @app.get("/export")
            ... @chatarmin.requires_feature("exports", on_denied=lambda request, decision: ("Upgrade", 402),
            ...     organisation=lambda: None)
            ... def export():
            ...     return "name,total"
            >>> app.test_client().get("/export").text
            'Upgrade'
        """
        code = at_field("feature_code", text)(feature_code)
        if on_denied is not None and not isinstance(on_denied, str) and not callable(on_denied):
            raise InvalidInput(f"expected a template, an endpoint or a function, got {describe(on_denied)}").at(
                "on_denied"
            )
        load = at_field("organisation", function_at)(organisation)

        def respond_if_denied() -> tuple[Any] | None:
            """Return the response of *on_denied*, whatever it is; None if the view may run."""
            try:
                self._require(code, load)
            except FeatureDenied as error:
                if on_denied is None:
                    raise
                return (denial.respond_to(error.decision, on_denied),)
            return None

        def decorate(view: V) -> V:
            if iscoroutinefunction(view):

                @wraps(view)
                async def guarded_async(*args: Any, **kwargs: Any) -> Any:
                    from asgiref.sync import sync_to_async  # Flask needs it for any async view

                    denied = await sync_to_async(respond_if_denied)()
                    return denied[0] if denied else await view(*args, **kwargs)

                return guarded_async  # type: ignore[return-value] # has the parameters of the view

            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                denied = respond_if_denied()
                return denied[0] if denied else view(*args, **kwargs)

            return guarded  # type: ignore[return-value] # the same

        return decorate

    @contextmanager
    def metered(
        self,
        feature_code: str,
        quantity: Number = 1,
        idempotency_key: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Iterator[Metered]:
        """Require a feature of the request's organisation, and count usage when the block ends without an exception.

        Args:
            feature_code: The feature.
            quantity: The quantity; the block may change it by assigning to `.quantity` of the result.
            idempotency_key: The text that names the event; default: a new UUID4.
            metadata: Details to keep with the event, as JSON.

        Raises:
            FeatureDenied: The organisation must not use the feature, or fewer than *quantity* remain.
            ChatarminError: As of `Gate.metered`.

        Example:
            >>> from flask import Flask
            >>> app = Flask("shop")
            >>> app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake", "ORGANISATION": lambda request: "org_1"}
            >>> chatarmin = Chatarmin(app)
            >>> with app.test_request_context():
            ...     company = chatarmin.client.onboard(external_org_id="org_1", tier_code="free")
            ...     with chatarmin.metered("ai_credit", 5) as metered:
            ...         pass
            ...     chatarmin.client.features.check(company_id=company.company_id, feature_code="ai_credit").remaining
            95
        """
        organisation = self._organisation()
        if organisation is None:
            raise denied_for_nobody(feature_code)
        with self.gate.metered(
            external_org_id=organisation,
            feature_code=feature_code,
            quantity=quantity,
            idempotency_key=idempotency_key,
            metadata=metadata,
        ) as metered:
            yield metered

    def track_usage(
        self,
        feature_code: str,
        quantity: Number = 1,
        *,
        idempotency_key: str | UUID | None = None,
        metadata: Mapping[str, Any] | None = None,
        external_org_id: str | UUID | None = None,
    ) -> None:
        """Count usage after the response to the current request was made, if the request succeeds.

        Nothing is counted after an exception, also if a handler turned it into a response, or with a status of 400 or
        above. The response is delivered once usage was sent, so it is late by up to the setting TIMEOUT while the
        service does not answer. If sending fails, the response stays as it is, and the log of the app has the event
        with its key. While the body of a response is streamed, usage is sent at once. Outside of a request usage is
        sent at once too, and errors raise. With the setting OUTBOX usage is put into the outbox instead of being sent.

        Args:
            feature_code: The feature.
            quantity: The quantity, above 0.
            idempotency_key: The text that names the event; default: a new UUID4.
            metadata: Details to keep with the event, as JSON.
            external_org_id: Your id of the organisation; default: that of the request. Usage of a request without an
                organisation is logged and not counted.

        Raises:
            InvalidInput: An invalid argument; or neither a request nor an organisation.
            ChatarminError: Outside of a request: usage was not counted, or no response was received.

        Example:
            >>> from flask import Flask
            >>> app = Flask("shop")
            >>> app.config["CHATARMIN_OS"] = {"TRANSPORT": "fake"}
            >>> chatarmin = Chatarmin(app)
            >>> with app.app_context():
            ...     company = chatarmin.client.onboard(external_org_id="org_1", tier_code="free")
            ...     chatarmin.track_usage("ai_credit", 5, external_org_id="org_1")
            ...     chatarmin.client.features.check(company_id=company.company_id, feature_code="ai_credit").remaining
            95
        """
        if external_org_id is None and not has_request_context():
            raise InvalidInput("is missing: there is no request", "name the organisation").at("external_org_id")
        organisation = self._organisation() if external_org_id is None else external_org_id
        event = UsageEvent(
            external_org_id=_NOBODY if organisation is None else organisation,
            feature_code=feature_code,
            quantity=quantity,
            idempotency_key=idempotency_key,
            metadata=metadata,
        )
        if organisation is None:
            values = {**fields_of(event), "external_org_id": None}
            log_lost_usage(current_app.logger, values, denied_for_nobody(feature_code))
        elif has_request_context():
            usage.send_after_response(event)
        else:
            deliver(current_services(), event)

    def _require(self, feature_code: str, load: Callable[[], Any] | None) -> None:
        decision = check(lambda: self.gate, self._organisation(load), feature_code)
        if not decision:
            raise FeatureDenied(decision)

    def _organisation(self, load: Callable[[], Any] | None = None) -> str | None:
        """Return the external org id of the current request, None for nobody."""
        if load is not None:
            return external_org_id(load(), "organisation")
        if self._load_organisation is not None:
            return external_org_id(self._load_organisation(), "organisation_loader")
        function = current_services().organisation_function
        if function is None:
            raise InvalidInput("is missing", "decorate a function with organisation_loader").at("ORGANISATION").at(NAME)
        return external_org_id(function(request), f"{NAME}.ORGANISATION")
