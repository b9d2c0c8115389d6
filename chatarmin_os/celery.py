"""The public path of the task of Celery, `chatarmin_os.integrations.celery`."""

from chatarmin_os.integrations.celery import beat_schedule, drain_usage

__all__ = ["beat_schedule", "drain_usage"]
