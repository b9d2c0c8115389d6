"""Flask: views that need a feature, metered usage, templates and commands."""

from chatarmin_os.integrations.flask.extension import Chatarmin

__all__ = ["Chatarmin"]
