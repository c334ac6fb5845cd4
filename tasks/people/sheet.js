"use strict";
/* Keeps what is entered in this browser, shows how far it is, and writes it as CSV. Sends nothing. */
(() => {
  const form = document.forms.cards;
  const sheet = form.dataset.sheet;
  const columns = form.dataset.columns.split(" ");
  const kept = `tunegate ${sheet}`;
  const rows = [...form.querySelectorAll("article")];
  const groups = [...form.querySelectorAll("fieldset")];
  const the = (id) => document.getElementById(id);

  const open = (row) => [...row.querySelectorAll(".scale")].filter((scale) => !scale.querySelector(":checked"));
  const unfinished = () => rows.filter((row) => open(row).length);
  const focusOn = (group) => (group.querySelector(":checked") || group.querySelector("input")).focus();

  function show() {
    for (const row of rows) {
      const missing = open(row).length;
      const begun = missing < row.querySelectorAll(".scale").length;
      row.classList.toggle("done", !missing);
      row.querySelector("[data-state]").textContent = !missing ? "✓ scored" : begun ? `${missing} to go` : "";
    }
    const done = rows.length - unfinished().length;
    the("done").value = `${done} of ${rows.length} scored`;
    document.querySelector("progress").value = done;
    the("next").disabled = done === rows.length;
    if (done === rows.length) the("unfinished").hidden = true;
  }

  function keep() {
    try {
      localStorage.setItem(kept, JSON.stringify(Object.fromEntries(new FormData(form))));
    } catch {
      the("unkept").hidden = false;
    }
  }

  function restore() {
    try {
      const values = JSON.parse(localStorage.getItem(kept)) || {};
      for (const [name, value] of Object.entries(values)) if (form.elements[name]) form.elements[name].value = value;
    } catch {
      the("unkept").hidden = false;
    }
  }

  function changed() {
    keep();
    show();
  }

  /* As tasks/people/cards.py reads it: what a spreadsheet would run gets an apostrophe before it. */
  function cell(text) {
    const safe = /^[=+\-@\t\r\n＝＋－＠']/.test(text) ? `'${text}` : text;
    return `"${safe.replaceAll('"', '""')}"`;
  }

  function csv() {
    const lines = rows.map((row) => {
      const number = row.dataset.row;
      const given = { sheet, row: number };
      return columns.map((column) => cell(given[column] ?? form.elements[`${number}_${column}`].value)).join(",");
    });
    return `\ufeff${[columns.join(","), ...lines].join("\r\n")}\r\n`;
  }

  function download(name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function goToOpen() {
    const row = unfinished()[0];
    the("unfinished").hidden = true;
    if (!row) return;
    row.scrollIntoView({ block: "start" });
    open(row)[0].querySelector("input").focus({ preventScroll: true });
  }

  function goOn(group) {
    const next = groups[groups.indexOf(group) + 1];
    if (next) focusOn(next);
  }

  form.addEventListener("input", changed);
  form.addEventListener("submit", (event) => event.preventDefault());

  form.addEventListener("keydown", (event) => {
    const group = event.target.closest("fieldset");
    if (!group || event.target.type !== "radio" || event.ctrlKey || event.metaKey || event.altKey) return;
    const wanted = event.key.toLowerCase() === "t" ? "tie" : event.key.toUpperCase();
    const chosen = [...group.querySelectorAll("input")].find((input) => input.value === wanted || input.value === event.key);
    if (chosen || (wanted === "tie" && group.matches(".preference"))) {
      (chosen || group.querySelector("[value=tie]")).checked = true;
      changed();
    } else if (event.key !== "Enter") return;
    event.preventDefault();
    goOn(group);
  });

  form.addEventListener("click", (event) => {
    const number = event.target.dataset.copy;
    if (!number) return;
    for (const column of columns.filter((name) => name.startsWith("a_"))) {
      form.elements[`${number}_b_${column.slice(2)}`].value = form.elements[`${number}_${column}`].value;
    }
    changed();
  });

  the("next").addEventListener("click", goToOpen);
  the("first").addEventListener("click", goToOpen);
  the("anyway").addEventListener("click", () => download(`${sheet}-unfinished.csv`));
  the("download").addEventListener("click", () => {
    const left = unfinished().length;
    if (!left) return download(`${sheet}.csv`);
    form.classList.add("wanting");
    const [notice] = the("unfinished").getElementsByTagName("p");
    notice.textContent = `${left} of ${rows.length} rows not finished; such a file cannot be added.`;
    the("unfinished").hidden = false;
  });
  the("forget").addEventListener("click", () => {
    if (!confirm("Forget all scores and notes of this sheet in this browser?")) return;
    form.reset();
    try {
      localStorage.removeItem(kept);
    } catch {
      /* nothing was kept */
    }
    show();
  });

  restore();
  show();
})();
