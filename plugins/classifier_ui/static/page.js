// Fetch the live sections anew while somebody looks, keep a form from being sent twice, and let keys press buttons.
"use strict";
(() => {
  const fetchPart = async (section) => {
    const content = section.querySelector(".content");
    try {
      const answer = await fetch(section.dataset.live, { credentials: "same-origin" });
      if (answer.status === 401 || answer.status === 403) {
        section.removeAttribute("data-live");
        throw new Error("not logged in any more: reload the page");
      }
      if (!answer.ok) throw new Error(`no answer (${answer.status})`);
      content.innerHTML = await answer.text();
    } catch (error) {
      const updated = content.querySelector(".updated");
      if (updated) updated.textContent = `Not up to date: ${error.message}.`;
    }
  };

  const follow = (section) => {
    const again = async () => {
      if (!document.hidden) await fetchPart(section);
      if (section.dataset.live) setTimeout(again, 1000 * Number(section.dataset.every));
    };
    setTimeout(again, 1000 * Number(section.dataset.every));
  };
  document.querySelectorAll("[data-live]").forEach(follow);

  const running = document.querySelector("[data-reload]");
  if (running) {
    setInterval(() => {
      if (!document.hidden) location.reload();
    }, 1000 * Number(running.dataset.reload));
  }

  document.querySelectorAll("form").forEach((form) =>
    form.addEventListener("submit", () => {
      // not before it is sent: what a disabled button says is not
      setTimeout(() => {
        form.querySelectorAll("button").forEach((button) => {
          button.disabled = true;
        });
      });
    }),
  );
  // back from the browser's cache, a form can be sent again
  window.addEventListener("pageshow", () =>
    document.querySelectorAll("form button").forEach((button) => {
      button.disabled = false;
    }),
  );

  const keyed = [...document.querySelectorAll("[data-key]")].filter((one) => one.dataset.key);
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input, select, textarea");
    if (writing && event.key === "Escape") writing.blur();
    if (writing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const found = keyed.find((one) => one.dataset.key === event.key.toLowerCase());
    if (!found) return;
    event.preventDefault();
    if (found.matches("textarea")) found.focus();
    else found.click();
  });
  if (keyed.length) window.focus(); // within Airflow's page, keys go to its own document otherwise
})();
