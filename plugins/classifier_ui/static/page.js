// Fetch the live sections anew while somebody looks, and keep a form from being sent twice.
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
      form.querySelector("button").disabled = true;
    }),
  );
  // back from the browser's cache, a form can be sent again
  window.addEventListener("pageshow", () =>
    document.querySelectorAll("form button").forEach((button) => {
      button.disabled = false;
    }),
  );
})();
