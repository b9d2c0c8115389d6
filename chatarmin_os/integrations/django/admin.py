"""The events of the outbox in the admin: to look at, to revive and to discard."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from chatarmin_os._clock import wall
from chatarmin_os.integrations.django.models import DEAD, OutboxEvent, leased
from chatarmin_os.integrations.django.outbox import DjangoOutbox
from chatarmin_os.integrations.django.services import database_outbox


class StateFilter(admin.SimpleListFilter):
    """Chooses events that are dead, that senders have, or that wait."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the states."""
        return [("ready", "ready"), ("leased", "leased"), ("dead", "dead")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:  # noqa: ARG002
        """Return the events in the chosen state."""
        held = leased(wall())
        conditions = {"ready": ~DEAD & ~held, "leased": held, "dead": DEAD}
        return queryset.filter(conditions.get(self.value() or "", Q()))


class ReasonFilter(admin.SimpleListFilter):
    """Chooses dead events by their reason; only these are read for it."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the reasons that there are."""
        reasons = model_admin.get_queryset(request).filter(DEAD).order_by("reason").values_list("reason", flat=True)
        return [(reason, reason) for reason in reasons.distinct()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:  # noqa: ARG002
        """Return the events with the chosen reason."""
        return queryset.filter(DEAD, reason=self.value()) if self.value() else queryset


@admin.register(OutboxEvent)
class OutboxEventAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic for type checkers only
    """Shows events; only their states can be changed, by the actions on those that are dead."""

    list_display = ("key", "feature", "quantity", "organisation", "company", "when", "state", "attempts", "reason")
    list_filter = (StateFilter, ReasonFilter)
    search_fields = ("key", "organisation", "company")
    fields = (*list_display, "message", "metadata")
    readonly_fields = fields
    actions = ("revive", "discard")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutboxEvent]:
        """Return the events in the database of the outbox."""
        return super().get_queryset(request).using(_outbox().using)

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Return False: `put` checks what it stores."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Return whether the actions may be used; a form would overwrite what a sender does."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Return False: usage that is ready is not to be lost; `discard` removes dead events."""
        return False

    @admin.action(description="Revive: let dead events be sent again", permissions=["change"])
    def revive(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> None:
        """Let the dead ones among the chosen events be sent again."""
        self._report(request, queryset.count(), _outbox().revive(_keys(queryset)), "will be sent again")

    @admin.action(description="Discard: remove dead events for ever", permissions=["change"])
    def discard(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> None:
        """Remove the dead ones among the chosen events."""
        self._report(request, queryset.count(), _outbox().discard(_keys(queryset)), "removed")

    def _report(self, request: HttpRequest, chosen: int, count: int, done: str) -> None:
        others = f"; {chosen - count} not dead" if count < chosen else ""
        self.message_user(request, f"{count} {done}{others}.", messages.WARNING if others else messages.SUCCESS)

    @admin.display
    def feature(self, event: OutboxEvent) -> Any:
        """Return the code of the feature."""
        return event.given["featureCode"]

    @admin.display
    def quantity(self, event: OutboxEvent) -> Any:
        """Return the quantity."""
        return event.given["quantity"]

    @admin.display
    def metadata(self, event: OutboxEvent) -> Any:
        """Return the metadata."""
        return event.given.get("metadata")

    @admin.display(description="created", ordering="created")
    def when(self, event: OutboxEvent) -> Any:
        """Return the instant of the creation."""
        return event.created_at

    @admin.display
    def state(self, event: OutboxEvent) -> str:
        """Return the state."""
        if event.next_at is None:
            return "dead"
        return "leased" if event.owner and event.next_at > wall() else "ready"


def _outbox() -> DjangoOutbox:
    return database_outbox() or DjangoOutbox(DEFAULT_DB_ALIAS)


def _keys(queryset: QuerySet[OutboxEvent]) -> list[str]:
    return list(queryset.values_list("key", flat=True))
