// Refresh the live sections while the page is visible, send each form only once, let keys press buttons, and fetch
// explanations.
"use strict";
(() => {
  const fetchSection = async (section) => {
    const content = section.querySelector(".content");
    try {
      const response = await fetch(section.dataset.live, { credentials: "same-origin" });
      if (response.status === 401 || response.status === 403) {
        section.removeAttribute("data-live");
        throw new Error("you are logged out; reload the page");
      }
      if (!response.ok) throw new Error(`HTTP status ${response.status}`);
      content.innerHTML = await response.text();
    } catch (error) {
      const updated = content.querySelector(".updated");
      if (updated) updated.textContent = `Outdated: ${error.message}.`;
    }
  };

  const follow = (section) => {
    const refresh = async () => {
      if (!document.hidden) await fetchSection(section);
      if (section.dataset.live) setTimeout(refresh, 1000 * Number(section.dataset.every));
    };
    setTimeout(refresh, 1000 * Number(section.dataset.every));
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
      // only after the form is sent: the value of a disabled button is not sent
      setTimeout(() => {
        form.querySelectorAll("button").forEach((button) => {
          button.disabled = true;
        });
      });
    }),
  );
  // if the user comes back from the browser's cache, the form can be sent again
  window.addEventListener("pageshow", () =>
    document.querySelectorAll("form button").forEach((button) => {
      button.disabled = false;
    }),
  );

  // the check boxes of a multi-label task: tell what is chosen, and add one for each category that is typed
  const chosen = document.querySelector("[data-chosen]");
  if (chosen) {
    const form = chosen.closest("form");
    const boxes = () => [...form.querySelectorAll("[name=category]")];
    const tell = () => {
      const count = boxes().filter((box) => box.checked).length;
      chosen.textContent = count ? `${count} ${count === 1 ? "category" : "categories"}` : "none of them";
    };
    const { typed } = form.elements;
    const add = () => {
      if (![...typed.list.options].some((option) => option.value === typed.value)) return false;
      if (!boxes().some((box) => box.value === typed.value)) {
        const toggle = document.getElementById("toggle").content.cloneNode(true);
        toggle.querySelector("input").value = typed.value;
        toggle.querySelector("span").textContent = typed.value;
        form.querySelector(".choices").append(toggle);
      }
      boxes().find((box) => box.value === typed.value).checked = true;
      typed.value = "";
      return true;
    };
    form.addEventListener("change", (event) => {
      if (event.target === typed) add();
      tell();
    });
    if (typed) {
      typed.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !typed.value) return;
        event.preventDefault(); // Enter adds the category; pressed once more, it saves
        add();
        tell();
      });
    }
    tell();
  }

  // explain a label: mark the words in the text that is shown, and list them below it
  const shown = document.querySelector("[data-explanation]");
  const explain = async (link) => {
    const status = document.querySelector("[data-why-status]");
    shown.setAttribute("aria-busy", "true");
    if (status) status.textContent = "Explaining … the first time takes some seconds.";
    try {
      const response = await fetch(link.dataset.why, { credentials: "same-origin" });
      if (response.status === 401 || response.status === 403) throw new Error("you are logged out; reload the page");
      // an explanation, or why there is none; any other answer is a complete page
      if (response.status !== 200 && response.status !== 409) {
        throw new Error(`the server answered ${response.status}; reload the page`);
      }
      shown.innerHTML = await response.text();
      shown.querySelectorAll("[data-marked]").forEach((part) => {
        const target = document.querySelector(`[data-${part.dataset.marked}]`);
        if (target) target.replaceChildren(part.content);
      });
      const title = shown.querySelector("#why-title");
      if (status) status.textContent = title ? "Words are marked; their figures are below the text." : "";
      if (title && !link.dataset.key) title.focus({ preventScroll: true }); // the link that was clicked is gone
    } catch (error) {
      if (status) status.textContent = `Not explained: ${error.message}.`;
    } finally {
      shown.removeAttribute("aria-busy");
    }
  };
  if (shown) {
    document.addEventListener("click", (event) => {
      const link = event.target.closest("[data-why]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      if (shown.getAttribute("aria-busy") !== "true") explain(link);
    });
  }

  const keyed = [...document.querySelectorAll("[data-key]")].filter((element) => element.dataset.key);
  document.addEventListener("keydown", (event) => {
    const writing = event.target.closest("input:not([type=checkbox]), select, textarea");
    if (writing && event.key === "Escape") writing.blur();
    if (writing || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Enter" && event.target.closest("a, button, summary")) return;
    const target = keyed.find((element) => element.dataset.key === event.key.toLowerCase());
    if (!target) return;
    event.preventDefault();
    if (target.matches("textarea, [name=typed]")) target.focus();
    else target.click();
  });
  if (keyed.length) window.focus(); // otherwise keys go to the document of Airflow's page
})();
