"""A configuration of gunicorn that patches Python before it imports Django.

Without it `--preload` imports Django first, and all greenlets of a worker share one connection to the database.
"""

from gevent import monkey  # type: ignore[import-untyped]

monkey.patch_all()
