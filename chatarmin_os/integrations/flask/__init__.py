"""Flask: views that need a feature, metered usage, templates and commands."""

try:
    import flask  # noqa: F401
except ImportError as missing:
    raise ImportError("chatarmin_os.flask needs Flask: pip install 'chatarmin-os[flask]'") from missing

from chatarmin_os.integrations.flask.extension import Chatarmin

__all__ = ["Chatarmin"]
