// What the page knows, and the control API of the service.

import { $, visible } from "./dom.js";

export const page = {
  products: null,
  product: null,
  wanted: null, // the product of the address
  company: null, // the id in the address
  isMissing: false,
  version: null,
  companyVersion: null,
  view: null,
  skip: 0, // companies on earlier pages
  callsBefore: null, // a number: an earlier page of calls
  isPaused: false,
  pausedAt: null, // the highest number of the calls that are shown
  events: [], // of the company, newest first
  hasMoreEvents: false,
  isWhole: false, // whether all sessions and subscriptions are shown
  paths: new Set(),
  refresh: null, // refreshes the page
};

export function announce(text, isBad = false) {
  $("status").textContent = visible(text);
  $("status").classList.toggle("bad", isBad);
}

/** Return the address of a company, or of the list of companies. */
export function addressOf(company) {
  const values = { product: page.product, ...(company ? { company } : {}) };
  return `#${new URLSearchParams(values)}`;
}

/** Return the name of a product. */
export function keyOf(id) {
  return page.products.find((product) => product.id === id)?.key ?? "another product";
}

export class Refused extends Error {}

export async function ask(name, input, { isMutation = false, product = page.product } = {}) {
  const headers = product ? { "x-fake-product": product } : {};
  const query = isMutation || input === undefined ? "" : `?input=${encodeURIComponent(JSON.stringify(input))}`;
  const body = isMutation ? JSON.stringify(input ?? {}) : undefined;
  if (isMutation) headers["content-type"] = "application/json";
  const response = await fetch(`/__fake__/${name}${query}`, { method: isMutation ? "POST" : "GET", headers, body });
  const answer = await response.json();
  if (answer.error) throw new Refused(answer.error.message);
  return answer.result.data;
}

/** Use a test control, announce the result, and refresh. */
export async function act(name, input, done, product = page.product) {
  let message = done;
  let isBad = false;
  try {
    await ask(name, input, { isMutation: true, product });
  } catch (error) {
    message = error instanceof Refused ? error.message : "The service does not respond.";
    isBad = true;
  }
  announce(product === page.product ? message : `${keyOf(product)}: ${message}`, isBad);
  await page.refresh();
}
