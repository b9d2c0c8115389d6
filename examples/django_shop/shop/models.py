"""The tables: organisations, and the reports that they made."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from django.conf import settings
from django.db import models

if TYPE_CHECKING:
    from uuid import UUID

    from django.http import HttpRequest


class Organisation(models.Model):
    """A customer, whose id is also the one in ChatarminOS."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    owner = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class Report(models.Model):
    """A report, which costs a credit."""

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    text = models.TextField()

    def __str__(self) -> str:
        return self.text


def organisation_of(request: HttpRequest) -> UUID | None:
    """Return the organisation of the user who is signed in."""
    return getattr(getattr(request.user, "organisation", None), "pk", None)
