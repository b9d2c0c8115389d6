"""The public path of the permission classes, `chatarmin_os.integrations.django.rest_framework`."""

from chatarmin_os.integrations.django.rest_framework import HasFeature, HasRequiredFeature

__all__ = ["HasFeature", "HasRequiredFeature"]
