"""A task of `django.tasks` that delivers what the outbox holds; documented as `chatarmin_os.django.tasks`.

It is not named `tasks`: Celery imports modules of that name in every application, also where Django has no tasks.
"""

from __future__ import annotations

from typing import Any

import attrs

from chatarmin_os.integrations.django.services import current
from chatarmin_os.web.current import DEADLINE_SECONDS, drain

try:
    from django.tasks import task  # pyright: ignore[reportMissingModuleSource]  # Django 5.2 has none
except ImportError as missing:
    raise ImportError("chatarmin_os.django.tasks needs Django 6 or later, which has django.tasks") from missing


@task
def drain_usage(deadline: float = DEADLINE_SECONDS) -> dict[str, Any]:
    """Deliver what the outbox of the setting OUTBOX holds, for at most *deadline* seconds; return the report.

    `drain_usage.enqueue()` runs it once; a scheduler of yours repeats it.
    """
    return attrs.asdict(drain(current(), deadline))
