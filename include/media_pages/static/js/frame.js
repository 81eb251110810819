// @ts-check
/** The page inside Airflow's UI, or by itself. Airflow's iframe forbids popups and navigation of the page around it. */

import { mount } from "./api.js";

/** Airflow's own address; ends with a slash. */
const airflow = new URL("../", mount);

/** @returns {Window | null} Airflow's window, where it is around us */
function outside() {
  try {
    return parent !== window && parent.document && parent.location.origin === location.origin ? parent : null;
  } catch {
    return null;
  }
}

/** Whether Airflow's UI is around us. */
export const framed = outside() !== null;

/** Whether we are the tab of one run, and not a place of our own in the navigation. */
export const inTab = framed && !(outside()?.location.pathname ?? "").startsWith(`${airflow.pathname}plugin/`);

/** @param {string} path of Airflow's UI, e.g. `/dags/transcode/runs/…` @returns {string} its address on this server */
export const airflowPath = (path) => airflow.pathname + path.replace(/^\/+/, "");

/** Show a page of Airflow's UI. @param {string} path as `run_path` and `log_path` have it */
export function openInAirflow(path) {
  const target = airflowPath(path);
  const around = outside();
  if (!around) {
    location.assign(target);
    return;
  }
  // React's router listens to popstate; where it does not take the address, a link of the page around us does.
  around.history.pushState({}, "", target);
  around.dispatchEvent(new PopStateEvent("popstate", { state: {} }));
}

/**
 * Keep the page's state in its address, and in that of the page around, from which Airflow restores ours after a reload.
 * @param {string} search `?…`, or nothing
 */
export function keepSearch(search) {
  history.replaceState(history.state, "", location.pathname + search + location.hash);
  const around = outside();
  if (!around || inTab || !around.location.pathname.endsWith(location.pathname)) return;
  around.history.replaceState(around.history.state, "", around.location.pathname + search + around.location.hash);
}

/** Leave for an address that is no page of Airflow's UI (the login), with all that is around us. @param {string} address */
export function leave(address) {
  const around = outside();
  if (!around) {
    location.assign(address);
    return;
  }
  const link = around.document.createElement("a");
  link.href = address;
  around.document.body.append(link);
  link.click();
  link.remove();
}

/** Go to Airflow's login, and come back to where we are. */
export function signIn() {
  const back = (outside() ?? window).location.href;
  leave(`${airflowPath("/auth/login")}?next=${encodeURIComponent(back)}`);
}

/** Let links that say `data-airflow` open in Airflow's window; their `href` is the whole path, so that they work without it, too. */
document.addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("a[data-airflow]") : null;
  if (!(link instanceof HTMLAnchorElement) || !framed || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  openInAirflow(/** @type {string} */ (link.dataset.airflow));
});
