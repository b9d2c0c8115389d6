"""The form of a sign-up."""

from django import forms
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import User


class SignUpForm(BaseUserCreationForm):
    """A user, and the name of the organisation."""

    organisation = forms.CharField(max_length=100)

    class Meta:
        """The fields of the user."""

        model = User
        fields = ("username", "email")
