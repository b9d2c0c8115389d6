"""The entry point of `chatarmin-os`, which is the same as `python -m chatarmin_os`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line and return its exit code.

    The command line is imported here, so that Ctrl-C during the import ends without a traceback.
    """
    try:
        from chatarmin_os import cli

        return cli.main()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
