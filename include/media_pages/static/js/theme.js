// @ts-check
// A classic script in the head, so that it runs before the first paint: puts `data-theme` (light or dark) on <html>, as Airflow
// has it, and follows. Airflow keeps `light`, `dark` or `system` in localStorage and its answer as a class of its own <html>.
(() => {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");

  /** @returns {Element | null} Airflow's <html>, where it is around us */
  const outside = () => {
    try {
      return parent !== window ? parent.document.documentElement : null;
    } catch {
      return null;
    }
  };

  const current = () => {
    const around = outside()?.classList;
    if (around?.contains("dark")) return "dark";
    if (around?.contains("light")) return "light";
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") return chosen;
    return system.matches ? "dark" : "light";
  };

  const paint = () => {
    root.dataset.theme = current();
  };

  paint();
  addEventListener("storage", (event) => {
    if (event.key === "theme" || event.key === null) paint();
  });
  document.addEventListener("themechange", paint);
  system.addEventListener("change", paint);
  const around = outside();
  if (around) new MutationObserver(paint).observe(around, { attributes: true, attributeFilter: ["class"] });
})();
