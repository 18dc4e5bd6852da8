(() => {
  const root = document.currentScript.parentElement;
  const { states, pictures } = JSON.parse(root.querySelector("script").textContent);
  const dials = [...root.querySelectorAll(".dials input, .dials select")];
  const parts = [...root.querySelectorAll(":scope > div")];
  const show = () => {
    const state = states.find(({ at }) => at.every(
      (place, dial) => place === null || place === Number(dials[dial].value)));
    dials.forEach((dial, number) => {
      dial.disabled = state.at[number] === null;
      if (dial.type !== "range") return;
      const name = JSON.parse(dial.parentElement.dataset.names)[dial.value];
      dial.setAttribute("aria-valuetext", name);
      dial.parentElement.querySelector("output").textContent = name;
    });
    state.parts.forEach((part, number) => {
      parts[number].innerHTML = part.replace(/"#(\d+)"/g, (_, picture) => `"${pictures[picture]}"`);
    });
  };
  root.addEventListener("input", show);
  root.querySelector(".dials").hidden = false;
  show();
})();
