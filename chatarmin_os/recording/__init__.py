"""Calls in a file: recorded, redacted, replayed."""
