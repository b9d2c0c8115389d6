"""The table of the outbox in a project's database.

`next_at` is the end of a lease or wait, None of a dead event, 0 of one that nobody has had. `since` is the beginning
of the lease or wait: a beginning in the future shows that the clock was set back. Times are seconds since 1970, as the
senders of all kinds of outboxes count them. `error` is JSON: a message of the service may have characters that a
database refuses.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

DEAD = Q(next_at=None)


def leased(now: float) -> Q:
    """Return the condition that a sender has an event."""
    return Q(next_at__gt=now, since__lte=now) & ~Q(owner="")


class OutboxEvent(models.Model):
    """Usage that waits to be sent, or is dead."""

    id: models.BigAutoField[Any, int] = models.BigAutoField(primary_key=True)
    # The hash is unique in every collation and at any length of the key.
    key_hash: models.CharField[str, str] = models.CharField(max_length=64, unique=True, editable=False)
    key: models.TextField[str, str] = models.TextField()
    input: models.TextField[str, str] = models.TextField()
    company: models.TextField[str | None, str | None] = models.TextField(null=True)  # noqa: DJ001 - None: unknown
    organisation: models.TextField[str | None, str | None] = models.TextField(null=True)  # noqa: DJ001 - the same
    created: models.FloatField[float, float] = models.FloatField()
    next_at: models.FloatField[float | None, float | None] = models.FloatField(null=True, default=0.0)
    since: models.FloatField[float, float] = models.FloatField(default=0.0)
    owner: models.CharField[str, str] = models.CharField(max_length=36, default="")
    attempts: models.IntegerField[int, int] = models.IntegerField(default=0)
    failures: models.IntegerField[int, int] = models.IntegerField(default=0)
    first_tried: models.FloatField[float | None, float | None] = models.FloatField(null=True)
    looked_up: models.FloatField[float | None, float | None] = models.FloatField(null=True)
    reason: models.TextField[str, str] = models.TextField(default="")
    error: models.TextField[str, str] = models.TextField(default="")

    class Meta:
        """The names in the admin, and its order."""

        verbose_name = "usage event"
        ordering: ClassVar[list[str]] = ["id"]
        indexes: ClassVar[list[models.Index]] = [models.Index(fields=["next_at", "id"], name="chatarmin_os_outbox_due")]

    def __str__(self) -> str:
        return self.key

    @property
    def given(self) -> dict[str, Any]:
        """The input of the call."""
        found: dict[str, Any] = json.loads(self.input)
        return found

    @property
    def message(self) -> str:
        """The error of a dead event."""
        return str(json.loads(self.error)) if self.error else ""

    @property
    def created_at(self) -> datetime:
        """The instant of the creation."""
        return datetime.fromtimestamp(self.created, UTC)
