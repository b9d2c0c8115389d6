// The export of a company, or of the product, as a snapshot for a test.

import { announce, ask, page, Refused } from "./control.js";
import { open } from "./dialogs.js";
import { $, link, visible } from "./dom.js";

/** Offer a snapshot of the company that is shown, or of the product, as a file. */
function openExport(company) {
  const dialog = $("export-dialog");
  dialog.company = company;
  const name = company ? company.name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "") || "company" : "product";
  dialog.file = `${name.slice(0, 60)}.json`;
  $("export-what").textContent = company ? `the company ${visible(company.name)}, the whole catalogue and the clock` : "the whole product: all companies, the catalogue and the clock";
  $("export-python").textContent = `import json
from pathlib import Path

from chatarmin_os import ChatarminOS
from chatarmin_os.fake import FakeTransport

snapshot = json.loads(Path("${dialog.file}").read_bytes())
fake = FakeTransport.from_snapshot(snapshot)
client = ChatarminOS(transport=fake)`;
  open(dialog);
}

async function download({ product, company, file }) {
  try {
    const snapshot = company ? await ask("company_snapshot", { company: company.id }, { product }) : await ask("snapshot", undefined, { product });
    const blob = new Blob([JSON.stringify(snapshot, null, 1)], { type: "application/json" });
    const node = link("a", URL.createObjectURL(blob));
    node.download = file;
    node.click();
    setTimeout(() => URL.revokeObjectURL(node.href), 60_000);
    announce(`Saved ${file}.`);
  } catch (error) {
    announce(error instanceof Refused ? error.message : "The service does not respond.", true);
  }
}

$("export-company").addEventListener("click", () => openExport(page.companyView.company));
$("export-product").addEventListener("click", () => openExport(null));
$("export-form").addEventListener("submit", () => download($("export-dialog")));
