(() => {
  const root = document.currentScript.parentElement;
  const forms = [...root.querySelectorAll("form")];
  const told = [];
  /* JupyterLab would take a key such as an arrow for its own. */
  const made = (tag) => {
    const element = document.createElement(tag);
    element.dataset.lmSuppressShortcuts = true;
    return element;
  };
  for (const form of forms) {
    const items = [...form.querySelectorAll("li")];
    items.forEach((item, place) => {
      const label = document.createElement("label");
      const input = made("input");
      Object.assign(input, { type: "radio", name: "choice", value: place + 1 });
      const text = document.createElement("span");
      text.append(...item.childNodes);
      label.append(input, text);
      item.append(label);
    });
    const fold = form.querySelector("details");
    const button = made("button");
    button.textContent = fold.querySelector("summary").textContent;
    button.disabled = true;
    fold.replaceWith(button);
    form.onchange = () => { button.disabled = false; };
    form.onsubmit = (event) => {
      event.preventDefault();
      const chosen = form.elements.choice.value;
      if (!chosen || form.dataset.told) return;
      form.dataset.told = true;
      const right = chosen === form.dataset.answer;
      told.push(right);
      for (const input of form.elements.choice) input.disabled = true;
      items[form.dataset.answer - 1].className = "right";
      const verdict = document.createElement("strong");
      verdict.textContent = right ? "You are right. " : `You chose ${chosen}, which is not right. `;
      form.querySelector("[role=status]").append(verdict, ...fold.querySelector("p").childNodes);
      if (forms.length > 1 && told.length === forms.length) {
        root.querySelector(".score").textContent =
          `Score: ${told.filter(Boolean).length} of ${forms.length}`;
      }
    };
  }
})();
