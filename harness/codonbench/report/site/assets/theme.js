// Light or dark: as the system says, until the reader says otherwise.
"use strict";
const codonbench = {};
window.codonbench = codonbench;

codonbench.theme = (() => {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  let chosen = null;
  try { chosen = window.localStorage.getItem("codonbench-theme"); } catch { /* storage is off */ }

  const isDark = () => (chosen ? chosen === "dark" : system.matches);

  function apply() {
    root.dataset.theme = isDark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.textContent = isDark() ? "Light theme" : "Dark theme"; // what it gives
    document.dispatchEvent(new Event("themechange"));
  }

  function toggle() {
    chosen = isDark() ? "light" : "dark";
    try { window.localStorage.setItem("codonbench-theme", chosen); } catch { /* not kept, then */ }
    apply();
  }

  system.addEventListener("change", apply);
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", toggle);
    apply();
  });
  apply();
  return { isDark };
})();
