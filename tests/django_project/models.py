"""The table: which organisation a token belongs to."""

from __future__ import annotations

from django.db import models


class Membership(models.Model):
    """A token, and the organisation that it belongs to."""

    token: models.CharField[str, str] = models.CharField(max_length=50)
    org_id: models.CharField[str, str] = models.CharField(max_length=50)

    def __str__(self) -> str:
        return self.token
