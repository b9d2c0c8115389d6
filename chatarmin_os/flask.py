"""Flask: `chatarmin = Chatarmin()`, `chatarmin.init_app(app)`, `@chatarmin.requires_feature("exports")`."""

from chatarmin_os.integrations.flask import Chatarmin

__all__ = ["Chatarmin"]
