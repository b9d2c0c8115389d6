"""Django: features of the organisation that a request is for; documented as `chatarmin_os.django`."""

try:
    import django  # noqa: F401
except ImportError as missing:
    raise ImportError("chatarmin_os.django needs Django: pip install 'chatarmin-os[django]'") from missing
