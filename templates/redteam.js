"use strict";
(() => {
  const by = (id) => document.getElementById(id);

  // The numbers of a mark below the picture, for eyes; the link's own label tells them to everyone else.
  const readout = by("readout");
  if (readout) {
    const hint = readout.textContent;
    readout.hidden = false;
    readout.removeAttribute("role");
    for (const point of document.querySelectorAll(".tradeoff .point")) {
      point.querySelector("title")?.remove();
      const show = () => {
        readout.textContent = point.getAttribute("aria-label");
      };
      const hide = () => {
        if (document.activeElement !== point) readout.textContent = hint;
      };
      point.addEventListener("pointerenter", show);
      point.addEventListener("focus", show);
      point.addEventListener("pointerleave", hide);
      point.addEventListener("blur", () => {
        readout.textContent = hint;
      });
    }
  }

  // Without this script the block is selected by hand.
  const button = by("copy");
  const block = by("yaml");
  if (button && block) {
    button.hidden = false;
    const select = () => {
      const range = document.createRange();
      range.selectNodeContents(block);
      const selection = window.getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
    };
    button.addEventListener("click", async () => {
      let copied = false;
      try {
        await navigator.clipboard.writeText(block.textContent);
        copied = true;
      } catch {
        select();
        copied = document.execCommand("copy");
      }
      button.textContent = copied ? "Copied" : "Selected: copy it with the keyboard";
      window.setTimeout(() => {
        button.textContent = "Copy";
      }, 2500);
    });
  }
})();
