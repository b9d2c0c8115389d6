"""Usage that is sent or stored when the transaction of a view commits, and not at all when it rolls back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from types import TracebackType
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.transaction import TransactionManagementError

from chatarmin_os._input import at_field, identifier
from chatarmin_os._input import idempotency_key as make_key
from chatarmin_os.errors import ChatarminError, InvalidInput
from chatarmin_os.gate import Metered, UsageEvent
from chatarmin_os.integrations.django.organisation import in_sync_context, organisation_of
from chatarmin_os.integrations.django.outbox import DjangoOutbox, Held
from chatarmin_os.integrations.django.services import current, database_outbox
from chatarmin_os.outbox import OutboxError
from chatarmin_os.web.log import LOGGER, log_lost_usage
from chatarmin_os.web.organisation import denied_for_nobody
from chatarmin_os.web.usage import deliver, expect


def track_usage(
    request_or_external_org_id: Any,
    feature_code: str,
    quantity: float = 1,
    *,
    idempotency_key: str | UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    using: str | None = None,
) -> None:
    """Count usage when the transaction commits, or at once outside of a transaction.

    With the setting OUTBOX the usage is put into the outbox instead, from which a sender takes it: when the transaction
    commits, or with `"django"` as a part of the transaction.

    Nothing is counted if the transaction, or the savepoint of a nested `atomic`, rolls back. It never raises: usage
    that was not counted is logged at ERROR, with everything that is needed to send it again.

    Args:
        request_or_external_org_id: The request, for whose organisation the usage is, or your id of the organisation.
        feature_code: The code of the feature.
        quantity: The quantity, above 0.
        idempotency_key: The text that names this event, so that it counts once; default: a new UUID4.
        metadata: Details to keep with the event, as JSON.
        using: The alias of the database whose transaction decides; default: the default database.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> with override_service() as fake:
        ...     track_usage("org_1", "ai_credit", 5, idempotency_key="job-17")
        >>> fake.calls[-1].path, fake.calls[-1].input["quantity"]
        ('billing.trackUsage', 5)
    """
    values: dict[str, Any] = {"feature_code": feature_code, "quantity": quantity, "idempotency_key": idempotency_key}
    values["metadata"] = metadata

    def track() -> None:
        values["idempotency_key"] = at_field("idempotency_key", make_key)(idempotency_key)
        if not _is_request(request_or_external_org_id):
            values["external_org_id"] = request_or_external_org_id  # for the log, if it is invalid
        organisation = values["external_org_id"] = _organisation(request_or_external_org_id)
        if organisation is None:
            raise denied_for_nobody(feature_code)
        event = UsageEvent(**values)
        _deliver(event, values, using)

    try:
        in_sync_context(track)
    except Exception as error:  # noqa: BLE001 - the work is done, whatever keeps it from being counted
        log_lost_usage(LOGGER, values, error)


def metered(
    request: Any,
    feature_code: str,
    quantity: float = 1,
    idempotency_key: str | UUID | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    using: str | None = None,
) -> MeteredBlock:
    """Return a context manager that checks a feature before a block, and counts usage when the transaction commits.

    It is `gate.metered` for the organisation of the request: `with` in a view, `async with` in an async one. Usage that
    was not counted is logged at ERROR, with everything that is needed to send it again.

    With the setting OUTBOX usage that the service did not confirm is put into the outbox. With `"django"` all usage is
    stored as a part of the transaction, and removed when the service has counted it at the commit: it is not lost if
    the process ends in between.

    Args:
        request: The request, or your id of the organisation.
        feature_code: The code of the feature.
        quantity: The quantity; the block may change it (`.quantity`), and 0 counts nothing.
        idempotency_key: The text that names this event, so that it counts once; default: a new UUID4.
        metadata: Details to keep with the event, as JSON.
        using: The alias of the database whose transaction decides; default: the default database.

    Raises:
        FeatureDenied: The organisation may not use the feature, or less than *quantity* remains; `requires_feature`
            and `FeaturesMiddleware` make a response of it.
        InvalidInput: An argument is invalid.

    Example:
        >>> from chatarmin_os.django.test import override_service
        >>> with override_service() as fake:
        ...     with metered("org_1", "ai_credit", 5) as usage:
        ...         usage.quantity = 3  # it took less
        >>> fake.calls[-1].path, fake.calls[-1].input["quantity"]
        ('billing.trackUsage', 3)
    """
    key = at_field("idempotency_key", make_key)(idempotency_key)
    arguments = {"feature_code": feature_code, "quantity": quantity, "idempotency_key": key, "metadata": metadata}
    return MeteredBlock(request, arguments, using)


class MeteredBlock:
    """The context manager of `metered`, for `with` and `async with`."""

    def __init__(self, request: Any, arguments: dict[str, Any], using: str | None) -> None:
        self._request, self._arguments, self._using = request, arguments, using

    def __enter__(self) -> Metered:
        return in_sync_context(self._enter)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        in_sync_context(lambda: self._exit(kind, error, traceback))

    async def __aenter__(self) -> Metered:
        return await sync_to_async(self._enter)()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await sync_to_async(self._exit)(kind, error, traceback)

    def _enter(self) -> Metered:
        organisation = self._arguments["external_org_id"] = _organisation(self._request)
        if organisation is None:
            raise denied_for_nobody(self._arguments["feature_code"])
        self._block: AbstractContextManager[Metered] = current().gate.metered(**self._arguments)
        self._metered = self._block.__enter__()
        return self._metered

    def _exit(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        block = self._block
        if kind is not None:
            block.__exit__(kind, error, traceback)
        elif not _hold(self._metered, self._using):
            values = {**self._arguments, "quantity": self._metered.quantity}
            _on_commit(lambda: block.__exit__(None, None, None), values, self._using)


def _is_request(request_or_external_org_id: Any) -> bool:
    return hasattr(request_or_external_org_id, "META")  # of Django or of REST framework


def _organisation(request_or_external_org_id: Any) -> str | None:
    """Return the external org id of a request, or the given one."""
    if _is_request(request_or_external_org_id):
        return organisation_of(request_or_external_org_id)
    return at_field("external_org_id", identifier)(request_or_external_org_id)


def _deliver(event: UsageEvent, values: Mapping[str, Any], using: str | None) -> None:
    """Put usage into an outbox in the same database at once, and deliver other usage when the transaction commits."""
    services = current()  # those of now: a test may end before the transaction does
    outbox = _outbox_in(using)
    if outbox is not None:
        # A transaction that can only be rolled back refuses it, and drops what was to be done at its commit.
        with suppress(OutboxError):
            outbox.put_many([event])
            with suppress(TransactionManagementError):  # the user commits by hand, and Django cannot say when
                transaction.on_commit(lambda: expect(services, event), using=using, robust=True)
            return
    _on_commit(lambda: deliver(services, event), values, using)


def _outbox_in(using: str | None) -> DjangoOutbox | None:
    """Return the outbox if it is in the database whose transaction decides."""
    outbox = database_outbox()
    return outbox if outbox is not None and outbox.using == (using or DEFAULT_DB_ALIAS) else None


def _hold(metered: Metered, using: str | None) -> bool:
    """Put the usage of a block into an outbox in the same database, and send it when the transaction commits.

    If the process ends in between, a sender finds it in the outbox. Return False if it was not stored.
    """
    services, outbox, event = current(), _outbox_in(using), metered._usage()
    if outbox is None or event is None:
        return False
    held: Held | None = None

    def send() -> None:
        failure = None
        if held is not None:
            try:
                metered._send(event)
            except ChatarminError as error:
                failure = error
        if held is None or held.settle(failure):
            expect(services, event)

    with suppress(OutboxError, InvalidInput):  # a key that waits with other values is a conflict for the service too
        held = outbox._hold(event)
        transaction.on_commit(send, using=using, robust=True)
        return True
    return False


def _on_commit(send: Callable[[], Any], values: Mapping[str, Any], using: str | None) -> None:
    """Send usage when the transaction commits; log it if that fails."""

    def send_or_log() -> None:
        try:
            send()
        except BaseException as error:  # a server may end the worker by SystemExit
            log_lost_usage(LOGGER, values, error)
            if not isinstance(error, Exception):
                raise

    connection = transaction.get_connection(using)
    if connection.in_atomic_block or connection.connection is not None:
        transaction.on_commit(send_or_log, using=using, robust=True)
    else:  # it has no transaction, and on_commit would connect to the database
        send_or_log()
