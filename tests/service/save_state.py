"""Saves a state file until it is killed: adds companies, one after the other, and prints how many there are.

python save_state.py FILE
"""

from __future__ import annotations

import sys
from itertools import count

from chatarmin_os.fake import snapshot  # noqa: F401 - the first saving would import it, and mostly be killed then
from chatarmin_os.server import StateFile
from chatarmin_os.server.products import Products


def main() -> None:
    """Add companies without end, so that a signal mostly comes while the file is written."""
    products = Products()
    with StateFile(sys.argv[1], products, interval_seconds=0.001):
        product = products.for_headers({"x-api-key": "os_sk_of_the_script"})
        for number in count(len(product.fake.service.state.companies)):
            input_ = {"name": f"Company {number}", "externalOrgId": f"org_{number}"}
            product.answer("companies.create", "mutation", input_)
            print(number, flush=True)  # noqa: T201 - for the process that kills this one


if __name__ == "__main__":
    main()
