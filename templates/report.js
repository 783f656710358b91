"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const by = (id) => document.getElementById(id);
  const table = by("risky");
  const samples = table ? Array.from(table.tBodies) : [];
  const narrow = window.matchMedia("(max-width: 40rem)");
  const state = { key: "", value: "", words: "" };

  // Rows that open. Without this script every row is open.
  const setOpen = (body, open) => {
    body.querySelector("tr.text").hidden = !open;
    body.querySelector("button.name").setAttribute("aria-expanded", String(open));
    body.classList.toggle("open", open);
  };
  const isOpen = (body) => !body.querySelector("tr.text").hidden;
  for (const body of samples) {
    const name = body.querySelector(".name");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "name";
    button.setAttribute("aria-controls", name.dataset.opens);
    button.append(...name.childNodes);
    name.replaceWith(button);
    setOpen(body, body === samples[0]);
    body.querySelector("tr.head").addEventListener("click", (event) => {
      const own = event.target.closest("button");
      if (own || (!event.target.closest("a") && !String(window.getSelection()))) setOpen(body, !isOpen(body));
    });
  }

  // Filters: one quadrant or kind of recall, and words to find.
  const choosers = () => all("#filters [data-show], [data-choose], #map .field");
  const apply = () => {
    let left = 0;
    for (const body of samples) {
      const fits = !state.value || body.dataset[state.key] === state.value;
      body.hidden = !(fits && (!state.words || body.textContent.toLowerCase().includes(state.words)));
      left += body.hidden ? 0 : 1;
    }
    for (const chooser of choosers()) {
      const value = chooser.dataset.show ?? chooser.dataset.choose ?? chooser.dataset.part.slice(6);
      chooser.setAttribute("aria-pressed", String(value === state.value));
    }
    const map = by("map");
    if (map) map.classList.toggle("chosen", state.key === "quadrant" && state.value !== "");
    if (!table) return;
    by("shown").textContent = left === samples.length ? "" : left + " of " + samples.length;
    by("none").hidden = left > 0;
  };
  const choose = (key, value) => {
    Object.assign(state, { key, value });
    apply();
  };
  const visit = (element, open) => {
    if (open) {
      if (element.hidden) {
        by("find").value = state.words = "";
        choose("", "");
      }
      setOpen(element, true);
    }
    element.scrollIntoView({ block: "start" });
    const target = element.querySelector("button.name, a") || element;
    if (target === element) element.tabIndex = -1;
    target.focus({ preventScroll: true });
  };

  if (table) {
    by("filters").hidden = false;
    by("filters").addEventListener("click", (event) => {
      const button = event.target.closest("[data-show]");
      if (button) choose(button.dataset.by || "", button.dataset.show);
    });
    by("find").addEventListener("input", (event) => {
      state.words = event.target.value.trim().toLowerCase();
      apply();
    });
    by("unfold").addEventListener("click", (event) => {
      const open = event.currentTarget.getAttribute("aria-pressed") !== "true";
      event.currentTarget.setAttribute("aria-pressed", String(open));
      for (const body of samples) setOpen(body, open);
    });
    for (const button of all("[data-choose]")) {
      button.hidden = false;
      button.addEventListener("click", () => {
        choose("quadrant", state.value === button.dataset.choose ? "" : button.dataset.choose);
        if (state.value) visit(by("riskiest"), false);
      });
    }
    const value = (body, key) => (key === "quadrant" ? body.dataset.quadrant : Number.parseFloat(body.dataset[key]));
    const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (Number.isNaN(a) ? -1 : a) - (Number.isNaN(b) ? -1 : b));
    for (const head of all("th[data-sort]", table)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") === "descending" || (head.dataset.sort === "rank" && !head.hasAttribute("aria-sort"));
        for (const other of all("th[aria-sort]", table)) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const key = head.dataset.sort;
        samples.sort((a, b) => (up ? 1 : -1) * compare(value(a, key), value(b, key)));
        table.append(...samples);
      });
    }
  }

  // The map: its points show their sample, its fields filter the table.
  const map = by("map");
  const card = by("card");
  if (map && card) {
    const points = all(".point", map);
    let shown = null;
    let pinned = false;
    let leaving = 0;
    map.querySelector(".hint").hidden = false;

    const element = (tag, className, text) => {
      const made = document.createElement(tag);
      if (className) made.className = className;
      if (text) made.textContent = text;
      return made;
    };
    const linked = (text, target, open) => {
      const link = element("a", "", text);
      link.href = "#" + target.id;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        hide();
        visit(target, open);
      });
      return link;
    };
    const fill = (point) => {
      const target = by(point.dataset.of);
      card.replaceChildren();
      const labels = point.getAttribute("aria-label");
      if (!target) {
        card.append(element("p", "title", labels));
        return;
      }
      const text = target.querySelector(".text .text, blockquote .text");
      const isSample = target.matches("tbody");
      const title = element("p", "title");
      if (isSample) title.append(target.dataset.rank + " · ", target.querySelector("bdi").cloneNode(true));
      else title.append(...Array.from(target.querySelector("h4").childNodes, (node) => node.cloneNode(true)));
      card.append(title);
      const line = element("p", "small");
      if (isSample) {
        line.append(target.querySelector(".chip").cloneNode(true), labels.slice(labels.lastIndexOf(", memorization")));
        const why = target.querySelector(".whyhere .recall");
        if (why) card.append(line, element("p", "small", target.querySelector(".whyhere").textContent.split(". ")[0] + "."));
        else card.append(line);
      } else {
        line.textContent = target.querySelector(".small").textContent;
        card.append(line);
      }
      if (text) {
        const copy = text.cloneNode(true);
        copy.classList.add("clip");
        card.append(copy);
      }
      const more = element("p", "more");
      more.append(isSample ? linked("Open row " + target.dataset.rank + " of the table", target, true) : linked("See the match", target, false));
      card.append(more);
    };
    const place = (anchor) => {
      if (narrow.matches) {
        card.style.left = card.style.top = "";
        return;
      }
      const frame = map.getBoundingClientRect();
      const box = anchor.getBoundingClientRect();
      const x = box.left + box.width / 2 - frame.left;
      const y = box.top + box.height / 2 - frame.top;
      const right = x + 16 + card.offsetWidth <= frame.width;
      const left = right ? x + 16 : Math.max(8, x - 16 - card.offsetWidth);
      card.style.left = Math.max(8, Math.min(left, frame.width - card.offsetWidth - 8)) + "px";
      card.style.top = Math.max(8, y - card.offsetHeight / 3) + "px";
    };
    const show = (point) => {
      window.clearTimeout(leaving);
      if (shown !== point) {
        if (shown) shown.classList.remove("current");
        shown = point;
        point.classList.add("current");
        fill(point);
      }
      card.hidden = false;
      place(point);
    };
    const hide = () => {
      if (shown) shown.classList.remove("current");
      shown = null;
      pinned = false;
      card.hidden = true;
    };
    const leave = () => {
      window.clearTimeout(leaving);
      if (!pinned) leaving = window.setTimeout(hide, 250);
    };
    const walk = (point) => {
      for (const other of points) other.setAttribute("tabindex", other === point ? "0" : "-1");
      point.focus();
    };

    // Where points lie on each other, the one whose middle is nearest is meant.
    const nearest = (event, point) => {
      if (!event.clientX && !event.clientY) return point;
      const away = (other) => {
        const box = other.querySelector(".reach").getBoundingClientRect();
        return Math.hypot(box.left + box.width / 2 - event.clientX, box.top + box.height / 2 - event.clientY);
      };
      return points.reduce((best, other) => (away(other) < away(best) ? other : best), point);
    };

    card.addEventListener("pointerenter", () => window.clearTimeout(leaving));
    card.addEventListener("pointerleave", leave);
    // By rank, whatever the order in which they are drawn.
    points.sort((a, b) => a.dataset.of.split("-")[0].localeCompare(b.dataset.of.split("-")[0]) * -1 || Number(a.dataset.of.split("-")[1]) - Number(b.dataset.of.split("-")[1]));
    points.forEach((point, at) => {
      const title = point.querySelector("title");
      point.setAttribute("aria-label", title.textContent);
      title.remove();
      point.setAttribute("role", "button");
      point.setAttribute("aria-describedby", "card");
      point.setAttribute("tabindex", at === 0 ? "0" : "-1");
      point.addEventListener("pointermove", (event) => {
        if (event.pointerType === "mouse" && !pinned) show(nearest(event, point));
      });
      point.addEventListener("pointerleave", leave);
      point.addEventListener("focus", () => {
        pinned = true;
        show(point);
      });
      point.addEventListener("blur", (event) => {
        if (!card.contains(event.relatedTarget)) {
          pinned = false;
          leave();
        }
      });
      point.addEventListener("click", (event) => {
        const meant = nearest(event, point);
        walk(meant);
        pinned = true;
        show(meant);
      });
      point.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (step) walk(points[(at + step + points.length) % points.length]);
        else if (event.key === "Home") walk(points[0]);
        else if (event.key === "End") walk(points[points.length - 1]);
        else if (event.key === "Enter" || event.key === " ") card.querySelector("a")?.focus();
        else return;
        event.preventDefault();
      });
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || card.hidden) return;
      const back = card.contains(document.activeElement) ? shown : null;
      hide();
      if (back) back.focus({ preventScroll: true });
      hide();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!card.hidden && !card.contains(event.target) && !event.target.closest(".point")) hide();
    });

    for (const field of all(".field", map)) {
      const name = field.dataset.part.slice(6);
      const title = map.querySelector(".title." + name)?.textContent ?? name;
      const many = samples.filter((body) => body.dataset.quadrant === name).length;
      field.setAttribute("role", "button");
      field.setAttribute("tabindex", "0");
      field.setAttribute("aria-label", title + ": show only its samples in the table, " + many + " of " + samples.length);
      const pick = () => choose("quadrant", state.value === name ? "" : name);
      field.addEventListener("click", pick);
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        pick();
      });
    }
  }

  // On paper everything is open.
  window.addEventListener("beforeprint", () => {
    for (const details of all("details")) details.open = true;
  });
  apply();
})();
