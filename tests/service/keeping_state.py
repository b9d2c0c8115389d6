"""Serves a state file until it is killed: adds companies, one after the other, and says how many there are.

python keeping_state.py FILE
"""

from __future__ import annotations

import sys
from itertools import count

from chatarmin_os.fake import snapshot  # noqa: F401 - or the first writing would import it, and be killed meanwhile
from chatarmin_os.server import StateFile, state
from chatarmin_os.server.products import Products

state._PAUSE = 0.001  # so that it is killed while it writes, mostly


def main() -> None:
    """Add companies without end."""
    products = Products()
    with StateFile(sys.argv[1], products):
        fake = products.of({"x-api-key": "os_sk_of_the_script"})
        for number in count(len(fake.fake.service.state.companies)):
            given = {"name": f"Company {number}", "externalOrgId": f"org_{number}"}
            fake.answer("companies.create", "mutation", given)
            print(number, flush=True)  # noqa: T201 - to whoever kills it


if __name__ == "__main__":
    main()
