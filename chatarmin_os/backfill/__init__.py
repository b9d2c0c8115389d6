"""The backfill: bring existing customers in, from the files that other programs export.

    >>> from chatarmin_os.backfill import Row
    >>> Row(external_org_id="org_1", name="Acme Inc", contacts=["ann@acme.com"]).created_at is None
    True

Where to look:

- **A run**: `backfill` has the arguments, `run` the coordinator, which gives chunks of rows to `work` in the workers.
  `executors` lets each chunk end, `intake` reads the rows, `checkpoint` notes them, `interrupts` ends a run at Ctrl-C;
  `report` and `progress` are for people.
- **A row**: `row` has its fields and its content hash, `checks` what it refuses, `digests` the hash of a row that is
  not checked yet; `problems` the error that names file, line and column; `failed` the file of the rows that failed.
- **A file**: `reading` takes it from its bytes to rows. `formats` has the endings of names, `encoding` decompresses and
  decodes, `dialect` detects the separator and the quotes of a table, `tables` and `json_values` split the text into
  records.
- **Pure functions**: `steps` has the next step of a row, `outcomes` the consequence of an error, `pace` when to send;
  `columns` maps names of columns to fields, `cells` and `moments` read values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatarmin_os._lazy import lazy_exports

if TYPE_CHECKING:
    from chatarmin_os.backfill.backfill import Backfill
    from chatarmin_os.backfill.reading import read_rows
    from chatarmin_os.backfill.report import BackfillReport, FailedRow
    from chatarmin_os.backfill.row import Row

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "chatarmin_os.backfill.backfill": ("Backfill",),
        "chatarmin_os.backfill.reading": ("read_rows",),
        "chatarmin_os.backfill.report": ("BackfillReport", "FailedRow"),
        "chatarmin_os.backfill.row": ("Row",),
    },
)

__all__ = [
    "Backfill",
    "BackfillReport",
    "FailedRow",
    "Row",
    "read_rows",
]
