"""The admin: organisations, and what each may use."""

from __future__ import annotations

from django.contrib import admin
from django.template.loader import render_to_string

from chatarmin_os.django import get_gate
from shop.models import Organisation


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin):
    """Shows the features of an organisation, and why it has them or not."""

    fields = ("name", "owner", "features")
    readonly_fields = ("features",)

    def features(self, organisation: Organisation) -> str:
        """Return a table of the features."""
        return render_to_string("shop/access.html", {"features": get_gate().features(external_org_id=organisation.pk)})
