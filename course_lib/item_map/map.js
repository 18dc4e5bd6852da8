(() => {
  const root = document.currentScript.parentElement;
  const data = JSON.parse(root.querySelector("[type='application/json']").textContent);
  const { names, x, y } = data;
  const colours = Object.values(data.colours), steps = Object.entries(data.steps);
  const edge = 18, width = 1000 + 2 * edge, height = Math.max(...y) + 2 * edge;
  const shapes = ["M-11-11H11V11H-11Z", "M-12,0a12,12 0 1,0 24,0a12,12 0 1,0 -24,0", "M0-14L13,11H-13Z", "M0-15L15,0 0,15-15,0Z"];
  const image = root.querySelector("img");
  const made = (tag, options, ...children) => {
    const element = Object.assign(document.createElement(tag), options);
    /* JupyterLab would take a key such as an arrow for its own. */
    element.dataset.lmSuppressShortcuts = true;
    element.append(...children);
    return element;
  };
  const drawn = (markup) => `<svg viewBox="${-edge} ${-edge} ${width} ${height}">${markup}</svg>`;
  const stage = made("div", { className: "stage", innerHTML: drawn(
    `<g>${names.map((_, i) => `<circle r="4.5" cx="${x[i]}" cy="${y[i]}" fill="${colours[data.kinds[i]]}"><title></title></circle>`).join("")}</g>
     <g></g><circle class="ring" r="16" visibility="hidden"></circle>`) });
  const svg = stage.firstChild, [dots, marks, ring] = svg.children;
  names.forEach((name, i) => { dots.children[i].firstChild.textContent = name; });
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", image.alt);
  const label = made("span", { className: "label", hidden: true });
  stage.append(label);
  const search = made("input", { type: "search", size: 24 });
  const said = made("p", { className: "said" });
  said.setAttribute("role", "status");
  const legend = made("div", { className: "legend" });
  const slider = made("input", { type: "range", min: 0, max: steps.length - 1, value: 0 });
  const title = made("span", { className: "step" });
  const controls = made("div", { className: "controls" }, made("label", {}, "Search the map: ", search));
  if (steps.length > 1) controls.prepend(made("label", {}, "Step: ", slider, title));
  image.replaceWith(controls, stage, said, legend);

  let only = null, at = -1, matches = [];
  const sets = () => Object.entries(steps[slider.value][1]);
  const point = (i) => {
    ring.setAttribute("visibility", i < 0 ? "hidden" : "visible");
    label.hidden = i < 0;
    if (i < 0) return;
    ring.setAttribute("cx", x[i]);
    ring.setAttribute("cy", y[i]);
    label.textContent = names[i];
    label.style.left = `${100 * (x[i] + edge) / width}%`;
    label.style.top = `${100 * (y[i] + edge) / height}%`;
    label.style.transform = `translate(-${x[i] / 10}%, ${y[i] < 80 ? "1.2em" : "-150%"})`;
  };
  const draw = () => {
    const shown = sets(), words = search.value.toUpperCase().split(/\s+/).filter(Boolean);
    matches = words.length ? [...names.keys()].filter((i) => words.every((word) => names[i].toUpperCase().includes(word))) : [];
    const bright = words.length ? new Set(matches)
      : shown.length ? new Set(shown.flatMap(([name, rows]) => data.bright.includes(name) ? rows : []))
      : null;
    names.forEach((_, i) => {
      const faint = bright && !bright.has(i) || only !== null && data.kinds[i] !== only;
      dots.children[i].setAttribute("class", faint ? "faint" : words.length ? "match" : "");
    });
    const small = [...new Set(steps.flatMap(([, each]) => Object.keys(each)))].filter((name) => !data.bright.includes(name));
    const drawings = [];
    const keys = shown.map(([name, rows]) => {
      if (data.bright.includes(name)) return made("span", {}, `bright: ${name} (${rows.length})`);
      const shape = shapes[small.indexOf(name)];
      drawings.push([rows.length, rows.map((i) =>
        `<path d="${shape}" transform="translate(${x[i]} ${y[i]})" fill="${colours[data.kinds[i]]}" ${only !== null && data.kinds[i] !== only ? 'class="faint"' : ""}/>`).join("")]);
      return made("span", { innerHTML: `<svg viewBox="-16 -16 32 32"><path d="${shape}" fill="#fff"/></svg>` }, `${name} (${rows.length})`);
    });
    marks.innerHTML = drawings.sort(([one], [other]) => other - one).map(([, markup]) => markup).join("");
    title.textContent = steps[slider.value][0];
    slider.setAttribute("aria-valuetext", steps[slider.value][0]);
    legend.replaceChildren(...keys, ...Object.keys(data.colours).map((kind, number) => {
      const button = made("button", { type: "button", innerHTML: `<i style="background:${colours[number]}"></i>` }, kind);
      button.setAttribute("aria-pressed", only === `${number}`);
      button.onclick = () => {
        only = only === `${number}` ? null : `${number}`;
        draw();
        legend.querySelectorAll("button")[number].focus();
      };
      return button;
    }));
    said.textContent = words.length
      ? `${matches.length} item${matches.length === 1 ? "" : "s"}. ${matches.length > 1 ? "Enter shows the next. " : ""}${matches.slice(0, 5).map((i) => names[i]).join("; ")}${matches.length > 5 ? " …" : ""}`
      : "Point at an item, or search for a name. A kind's button shows that kind alone.";
    at = matches.length ? 0 : -1;
    point(matches.length ? matches[0] : -1);
  };
  search.oninput = draw;
  slider.oninput = draw;
  search.onkeydown = (event) => {
    if (event.key !== "Enter" || !matches.length) return;
    event.preventDefault();
    at = (at + 1) % matches.length;
    point(matches[at]);
    said.textContent = `${at + 1} of ${matches.length}: ${names[matches[at]]}`;
  };
  stage.onpointermove = stage.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect(), scale = width / box.width;
    const px = (event.clientX - box.left) * scale - edge, py = (event.clientY - box.top) * scale - edge;
    let best = -1, least = (18 + 10 * scale) ** 2 / 4;
    names.forEach((_, i) => {
      const far = (x[i] - px) ** 2 + (y[i] - py) ** 2;
      if (far < least && dots.children[i].getAttribute("class") !== "faint") [best, least] = [i, far];
    });
    for (const [name, rows] of sets()) {
      for (const i of data.bright.includes(name) ? [] : rows) {
        const far = ((x[i] - px) ** 2 + (y[i] - py) ** 2) / 4;
        if (far < least) [best, least] = [i, far];
      }
    }
    point(best);
  };
  stage.onpointerleave = () => point(-1);
  draw();
})();
