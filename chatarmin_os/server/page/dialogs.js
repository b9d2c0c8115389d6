// Dialogs, each about the product that was shown when it was opened.

import { keyOf, page } from "./control.js";

/** Open a dialog about the product that is shown now; its buttons are about this one, whichever is chosen later. */
export function open(dialog) {
  dialog.product = page.product;
  for (const node of dialog.querySelectorAll(".which")) node.textContent = keyOf(page.product);
  dialog.showModal();
}

export function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
}

for (const node of document.querySelectorAll("[data-close]")) {
  node.addEventListener("click", () => node.closest("dialog").close());
}
