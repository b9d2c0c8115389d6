"""`python -m chatarmin_os` is `chatarmin-os`."""

from __future__ import annotations

import sys

from chatarmin_os.cli import main

if __name__ == "__main__":
    sys.exit(main())
