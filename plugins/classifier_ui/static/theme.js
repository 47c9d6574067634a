// Follow Airflow's theme, which is set on the root element of the page that frames this one.
"use strict";
(() => {
  const root = document.documentElement;
  const frame = () => {
    try {
      return window.parent === window ? null : window.parent.document.documentElement;
    } catch {
      return null; // another site's frame, which our headers forbid anyway
    }
  };
  const outer = frame();
  const follow = () => {
    const theme = ["dark", "light"].find((name) => outer.classList.contains(name) || outer.dataset.theme === name);
    if (theme) root.dataset.theme = theme;
  };
  if (!outer) return;
  root.dataset.framed = "";
  follow();
  new MutationObserver(follow).observe(outer, { attributes: true, attributeFilter: ["class", "data-theme"] });
})();
