"""A Django project of the tests; importing it configures Django, once per process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

SETTINGS: dict[str, Any] = {
    "ALLOWED_HOSTS": ["testserver", "127.0.0.1", "localhost"],
    "CACHES": {
        "default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"},
        "dummy": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"},
    },
    "CHATARMIN_OS": {"TRANSPORT": "fake", "ORGANISATION": "django_project.views.organisation_of"},
    "INSTALLED_APPS": [
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "chatarmin_os.django",
        "django_project",
    ],
    "MIDDLEWARE": ["chatarmin_os.django.FeaturesMiddleware"],
    "MIGRATION_MODULES": {"auth": None, "contenttypes": None},  # their tables are made without history: faster
    "ROOT_URLCONF": "django_project.views",
    "SECRET_KEY": "of tests",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    "USE_TZ": True,
}


def _set_up() -> None:
    """Configure Django, and create the databases, each a file that ends with this process."""
    folder = tempfile.mkdtemp(prefix="chatarmin-os-django-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    databases = {
        alias: {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(folder) / f"{alias}.sqlite3"),
            # They end with this process, so nothing has to reach the disk; a busy machine may let a writer wait.
            "OPTIONS": {"init_command": "PRAGMA synchronous = OFF", "timeout": 60},
        }
        for alias in ("default", "other")
    }
    unreachable = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(Path(folder) / "missing" / "database")}
    settings.configure(**SETTINGS, DATABASES={**databases, "unreachable": unreachable})
    django.setup()
    for alias in databases:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
    connections.close_all()  # a server may fork now


_set_up()
