"""The public path of `chatarmin_os.recording.redactors`."""

from chatarmin_os.recording.redactors import email_addresses, metadata, names, personal_data

__all__ = ["email_addresses", "metadata", "names", "personal_data"]
