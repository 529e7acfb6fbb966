/* What labkit adds to jupyterlab-rise: keys that run a cell and stay, hidden cells that run by
   themselves, outputs that wait for their run, and the presenter's view.

   JupyterLab loads this file as a prebuilt extension, and it needs no build: it is the container
   that webpack would make, written by hand. In JupyterLab's own page it does nothing; the page of
   the slides calls itself "Rise". Reveal is reached as its documentation says, by postMessage. */

(() => {
  const styles = new URL("slides.css", document.currentScript.src).href;
  let shared; // the modules that the page shares with its extensions

  const plugin = {
    id: "labkit-slides:plugin",
    autoStart: true,
    activate: (app) => {
      if (app.name !== "Rise") return;
      const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: styles });
      document.head.append(link);
      document.addEventListener("ready", () => present(app.shell.currentWidget), { once: true });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB ?? {};
  window._JUPYTERLAB["labkit-slides"] = {
    init: (scope) => void (shared = scope),
    get: async () => () => plugin,
  };

  async function present(panel) {
    const runner = await makeRunner(panel);
    const notes = makeNotes();
    const place = `labkit-slides place ${panel.sessionContext.session?.kernel?.id}`;
    const onKey = (event) => press(event, runner, notes);
    window.addEventListener("keydown", onKey, true); // before JupyterLab, whose "d d" deletes a cell
    notes.onKey = onKey;
    const follow = () => {
      sessionStorage.setItem(place, location.hash);
      runner.select();
      notes.show();
    };
    const [, ...before] = /slide-(\d+)-(\d+)/.exec(sessionStorage.getItem(place)) ?? [];
    for (const change of ["slidechanged", "fragmentshown", "fragmenthidden"]) {
      document.addEventListener(change, follow);
    }
    document.addEventListener("labkit-ran", notes.show);
    if (before.length) reveal("slide", ...before.map(Number)); // a page loaded again stays there
    follow();
    document.body.classList.add("labkit-slides"); // from here on it can be presented
  }

  // --- moving ----------------------------------------------------------------------------------

  const reveal = (method, ...args) => window.postMessage(JSON.stringify({ method, args }), "*");

  const MOVES = {
    " ": () => reveal("next"),
    "Shift+ ": () => reveal("prev"),
    PageDown: () => reveal("next"),
    PageUp: () => reveal("prev"),
    ArrowRight: () => reveal("next"),
    ArrowLeft: () => reveal("prev"),
    ArrowDown: () => reveal("next"),
    ArrowUp: () => reveal("prev"),
    Home: () => reveal("slide", 0),
    End: () => reveal("slide", document.querySelectorAll(".slides > section").length - 1),
    b: () => reveal("togglePause"),
    f: () =>
      document.fullscreenElement
        ? document.exitFullscreen()
        : document.documentElement.requestFullscreen(),
  };

  function press(event, runner, notes) {
    if (document.querySelector(".jp-Dialog") || event.altKey || event.metaKey) return;
    const { run, edit } = runner;
    const actions = { ...MOVES, t: notes.open, Enter: edit, "Shift+Enter": run, "Control+Enter": run };
    const single = event.key.length === 1;
    const key = single && event.key !== " " ? event.key.toLowerCase() : event.key;
    const held = (event.ctrlKey ? "Control+" : "") + (event.shiftKey ? "Shift+" : "");
    const typing = event.target.closest?.(".cm-editor, input, textarea, select");
    if (typing && !key.endsWith("Enter")) return;
    if (typing && !held) return; // a new line
    const action = actions[held + key];
    if (!action && (event.ctrlKey || !single)) return; // Escape ends editing, Ctrl+S saves
    event.preventDefault();
    event.stopImmediatePropagation();
    action?.(); // a letter that means nothing here must not reach JupyterLab either
  }

  // --- running ---------------------------------------------------------------------------------

  async function makeRunner(panel) {
    const { content: notebook, sessionContext: session } = panel;
    const [notebookModule] = Object.values(shared["@jupyterlab/notebook"]);
    const { NotebookActions } = (await notebookModule.get())();
    const code = () => notebook.widgets.filter((cell) => cell.model.type === "code");
    await session.ready;

    // Which cells have run in this kernel outlives a reload of the page, but not the kernel.
    const key = () => `labkit-slides ran ${session.session?.kernel?.id}`;
    let ran = new Set(JSON.parse(sessionStorage.getItem(key()) ?? "[]"));
    const mark = () => {
      sessionStorage.setItem(key(), JSON.stringify([...ran]));
      for (const cell of code()) {
        cell.node.classList.toggle("labkit-waiting", !ran.has(cell.model.id));
      }
      document.dispatchEvent(new Event("labkit-ran"));
    };
    session.statusChanged.connect((_, status) => {
      if (status.includes("restarting")) {
        ran = new Set();
        mark();
      }
    });
    mark();

    const shown = (cell) => cell.node.offsetParent && !cell.node.closest(".fragment:not(.visible)");
    const here = () => code().filter((cell) => currentSlide().contains(cell.node));

    /* The cell that the run key means: the chosen one, else the first on the slide that has not
       run, else the last that did. */
    function target() {
      const cells = here().filter(shown);
      if (cells.includes(notebook.activeCell) && notebook.mode === "edit") return notebook.activeCell;
      return cells.find((cell) => !ran.has(cell.model.id)) ?? cells.at(-1);
    }

    async function runOne(cell) {
      cell.node.classList.remove("labkit-waiting"); // what it prints meanwhile is shown
      cell.node.classList.add("labkit-running");
      const well = await NotebookActions.runCells(notebook, [cell], session);
      cell.node.classList.remove("labkit-running");
      if (well) {
        ran.add(cell.model.id);
        mark();
      }
      return well; // a cell that failed keeps its error in sight, and runs again with the next
    }

    /* Runs the slide's cell and before it what has not run yet, hidden or passed over. Keys that
       come meanwhile wait for their turn; the same one twice counts once. */
    const wanted = new Set();
    let turn = Promise.resolve();
    function run() {
      const cells = code();
      const goal = target();
      const end = goal ?? here().at(-1) ?? lastBefore(cells);
      notebook.mode = "command";
      notebook.node.focus({ preventScroll: true });
      if (!end || wanted.has(end)) return;
      wanted.add(end);
      document.body.classList.add("labkit-running");
      turn = turn
        .then(() => runUpTo(end, cells.slice(0, cells.indexOf(end)), goal === end))
        .catch((error) => tell(`the cell could not be run: ${error}`)) // and the next one may
        .finally(() => {
          wanted.delete(end);
          document.body.classList.toggle("labkit-running", wanted.size > 0);
        });
    }

    async function runUpTo(end, before, again) {
      tell("");
      for (const cell of before.filter((c) => !ran.has(c.model.id))) {
        if (await runOne(cell)) continue;
        tell(`a cell before this one failed: ${lastError(cell)}`);
        return;
      }
      if (again || !ran.has(end.model.id)) await runOne(end);
    }

    function lastBefore(cells) {
      const slide = currentSlide();
      const before = (cell) => slide.compareDocumentPosition(cell.node) & Node.DOCUMENT_POSITION_PRECEDING;
      return cells.filter(before).at(-1);
    }

    function select() {
      const cell = target();
      if (cell) notebook.activeCellIndex = notebook.widgets.indexOf(cell);
      notebook.mode = "command";
      notebook.node.focus({ preventScroll: true });
    }
    function edit() {
      const cell = target();
      if (!cell) return;
      notebook.activeCellIndex = notebook.widgets.indexOf(cell);
      notebook.mode = "edit";
      cell.editor.focus();
    }
    return { run, select, edit };
  }

  const currentSlide = () =>
    document.querySelector(".slides section.present:not(.stack)") ?? document.createElement("section");

  function lastError(cell) {
    const outputs = cell.model.outputs.toJSON();
    const error = outputs.findLast((output) => output.output_type === "error");
    return error ? `${error.ename}: ${error.evalue}` : "see the notebook";
  }

  function tell(text) {
    document.getElementById("labkit-tells")?.remove();
    if (!text) return;
    const node = Object.assign(document.createElement("div"), { id: "labkit-tells", textContent: text });
    document.body.append(node);
  }

  // --- the presenter's view --------------------------------------------------------------------

  const PRESENTER = `
    <style>
      body { margin: 0; padding: 1em; font: 20px/1.45 system-ui, sans-serif; color: #22303f; }
      header { display: flex; gap: 2em; color: #3c5876; font-size: 24px; font-weight: 600; }
      #next { margin-top: 1.5em; padding: .6em .8em; background: #e8f1fb; }
      th, td { padding: .1em 1em .1em 0; font-size: 18px; text-align: left; }
      footer { margin-top: 1.5em; color: #6b7280; font-size: 16px; }
      summary, .jp-InternalAnchorLink { display: none; }
    </style>
    <header><span id="place"></span><span id="clock"></span><span id="planned"></span></header>
    <main id="notes"></main>
    <div id="next"></div>
    <footer>Space: next · Shift+Space: back · Shift+Enter: run the cell · B: black ·
    these keys work in both windows</footer>`;

  function makeNotes() {
    let view;
    const notes = { onKey: null, open, show };

    function open() {
      if (!view || view.closed) {
        view = window.open("", "labkit-presenter", "popup,width=900,height=700");
        if (!view) return tell("the browser blocks the presenter's window: allow it, press T again");
        view.document.title = "Presenter's view";
        view.document.body.innerHTML = PRESENTER;
        view.addEventListener("keydown", notes.onKey, true);
        const began = Date.now();
        const tick = () => {
          const seconds = Math.floor((Date.now() - began) / 1000);
          const rest = String(seconds % 60).padStart(2, "0");
          put("clock", `${Math.floor(seconds / 60)}:${rest}`);
        };
        view.setInterval(tick, 1000);
        tick();
      }
      view.focus();
      show();
    }

    const put = (id, text) => void (view.document.getElementById(id).textContent = text);

    function show() {
      if (!view || view.closed) return;
      const slides = [...document.querySelectorAll(".slides section:not(.stack)")].filter(
        (section) => !section.querySelector(":scope > section"),
      );
      const position = slides.indexOf(currentSlide());
      put("place", `${position + 1} of ${slides.length}`);
      view.document.getElementById("notes").innerHTML =
        notesFor(slides, position) || "<p>No notes for this slide.</p>";
      for (const fold of view.document.querySelectorAll("details")) fold.open = true;
      const spoken = slides.slice(0, position + 1).map((slide) => minutesOf(slide));
      put("planned", `planned until here: ${spoken.reduce((a, b) => a + b, 0)} min`);
      put("next", nextText(slides, position));
    }
    return notes;
  }

  const rendered = (slide) => [...slide.querySelectorAll("aside.notes .jp-RenderedMarkdown")];
  const minutesOf = (slide) =>
    rendered(slide).reduce((sum, note) => sum + Number(/(\d+) minutes?\./.exec(note.textContent)?.[1] ?? 0), 0);

  /* The notes of a slide; of a slide below another one without its own, those of the one above. */
  function notesFor(slides, position) {
    for (let at = position; at >= 0; at--) {
      if (slides[at].parentElement !== slides[position].parentElement) break;
      const notes = rendered(slides[at]);
      if (notes.length) return notes.map((note) => note.innerHTML).join("");
    }
    return "";
  }

  function nextText(slides, position) {
    const slide = slides[position];
    const waits = slide && [...slide.querySelectorAll(".labkit-waiting")].some((cell) => cell.offsetParent);
    const hidden = slide?.querySelector(".fragment:not(.visible)");
    const next = hidden ?? slides[position + 1];
    const text = next?.querySelector("h1, h2") ?? next?.querySelector(".jp-RenderedMarkdown");
    const words = text?.textContent.replaceAll("¶", "") ?? (next ? "a cell to run" : "the end");
    return waits ? `Shift+Enter runs this cell. Then: ${words}` : `Next: ${words}`;
  }
})();
