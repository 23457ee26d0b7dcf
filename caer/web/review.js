// The contact sheet: decides at once on the screen, hands decisions to the queue (review_queue.js), shows what became of them.
// Text from outside only ever becomes textContent.

const sheets = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let sheet = sheets.get(parentElement);
  if (!sheet) {
    sheet = new Sheet(parentElement);
    sheets.set(parentElement, sheet);
  }
  sheet.show(data, (page) => setTriggerValue("turn", page));
  return () => sheet.rest();
}

class Sheet {
  constructor(root) {
    this.root = root;
    this.find = (selector) => root.querySelector(selector);
    this.here = 0;
    this.undone = [];
    this.before = new Map(); // decision's key -> how its sample stood, should the server refuse it
    this.queue = Queue.only({
      saved: (answer, decision) => this.saved(answer, decision),
      refused: (text, decision) => this.refused(text, decision),
      failing: (text) => this.complain(text),
      changed: () => this.drawBar(),
    });
    this.onKey = (event) => this.key(event);
    this.listen();
  }

  listen() {
    this.find(".sheet").addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (cell) this.go(Number(cell.dataset.at));
    });
    this.find(".actions").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.act(button.dataset.act);
    });
    this.find(".labels").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.relabel(button.dataset.label);
    });
    this.find(".boxes").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.chooseFace(Number(button.dataset.face));
    });
    this.find(".other").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = this.find(".other input");
      if (input.value.trim()) this.relabel(input.value.trim());
      input.value = "";
      input.blur();
    });
    this.find(".back").addEventListener("click", () => this.turn(-1));
    this.find(".forth").addEventListener("click", () => this.turn(1));
    this.find(".photo").addEventListener("load", () => this.drawBoxes());
  }

  show(data, turnTo) {
    const moved = !this.data || data.page !== this.data.page || data.items[0]?.id !== this.data.items[0]?.id;
    const kept = this.item()?.id;
    this.data = data;
    this.turnTo = turnTo;
    this.turning = false;
    this.reviewed = data.reviewed;
    const again = data.items.findIndex((item) => item.id === kept);
    this.here = moved ? (this.fromEnd ? data.items.length - 1 : 0) : Math.max(0, again);
    this.fromEnd = false;
    document.removeEventListener("keydown", this.onKey);
    document.addEventListener("keydown", this.onKey);
    for (const waiting of this.queue.list) this.foresee(data.items.find((item) => item.id === waiting.sample_id), waiting);
    this.drawSheet();
    this.drawDetail();
    this.drawBar();
    this.queue.start();
  }

  rest() {
    document.removeEventListener("keydown", this.onKey);
  }

  item() {
    return this.data?.items[this.here];
  }

  // Keys ---------------------------------------------------------------------------------------------------------------

  key(event) {
    const target = event.composedPath()[0];
    const writing = target.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable=true]");
    if (writing || event.ctrlKey || event.metaKey || event.altKey || !this.root.host?.isConnected) return;
    if (!this.root.host.getClientRects().length) return; // another tab is open
    const action = { a: "accept", x: "reject", z: "undo", u: "undo", f: "face" }[event.key.toLowerCase()];
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns(), ArrowUp: -this.columns() }[event.key];
    const page = { PageDown: 1, PageUp: -1 }[event.key];
    if (action) this.act(action);
    else if (page) this.turn(page);
    else if (step && !event.composedPath().some((node) => node.getAttribute?.("role") === "tab")) this.move(step);
    else if (/^[0-9]$/.test(event.key)) this.labelKey(Number(event.key));
    else return;
    event.preventDefault();
  }

  columns() {
    return getComputedStyle(this.find(".sheet")).gridTemplateColumns.split(" ").length;
  }

  labelKey(number) {
    const buttons = [...this.root.querySelectorAll(".labels button")];
    if (number === 0) this.relabel("");
    else if (buttons[number - 1]?.dataset.label) this.relabel(buttons[number - 1].dataset.label);
  }

  move(step) {
    const next = this.here + step;
    if (next >= 0 && next < this.data.items.length) this.go(next);
    else if (Math.abs(step) === 1) this.turn(step);
  }

  go(at) {
    this.cell(this.here)?.classList.remove("here");
    this.here = at;
    const cell = this.cell(at);
    cell?.classList.add("here");
    cell?.scrollIntoView({ block: "nearest" });
    this.drawDetail();
  }

  turn(step) {
    const page = this.data.page + step;
    if (this.turning || page < 0 || page >= this.data.pages) return;
    this.turning = true; // until the page is there: a key held down must not skip samples nobody saw
    setTimeout(() => (this.turning = false), 10000); // a server that was stopped meanwhile never sends it
    this.fromEnd = step < 0;
    this.turnTo(page);
  }

  // Decisions ----------------------------------------------------------------------------------------------------------

  act(action) {
    if (this.turning) return;
    if (action === "undo") return this.undo();
    const item = this.item();
    if (!item) return;
    if (action === "face") return this.nextFace(item);
    this.decide(item, { action });
    this.move(1);
  }

  relabel(label) {
    const item = this.item();
    const task = this.data.task;
    if (!item || this.turning || !this.data.tasks[task]) return;
    const numeric = this.data.tasks[task].kind !== "string";
    const value = label === "" ? null : numeric ? Number(label) : label;
    if (Number.isNaN(value)) return this.complain(`${task} takes numbers; ${label} is none`);
    this.decide(item, { action: "relabel", task, label: value });
    this.move(1);
  }

  nextFace(item) {
    if (!this.data.choosable || item.boxes.length < 2) return;
    const now = item.boxes.findIndex((face) => same(face.at, item.box));
    this.chooseFace((now + 1) % item.boxes.length);
  }

  chooseFace(index) {
    const item = this.item();
    if (!this.data.choosable || this.turning || !item?.boxes[index]) return;
    this.decide(item, { action: "face", box: item.boxes[index].box });
  }

  decide(item, fields) {
    const decision = { sample_id: item.id, key: crypto.randomUUID?.() ?? random(), ...fields };
    this.undone.push(decision);
    const { status, labels, box, chosen, reviewed, decided } = item;
    this.before.set(decision.key, { status, labels: { ...labels }, box, chosen, reviewed, decided });
    this.foresee(item, decision);
    this.queue.add(decision);
    this.redraw(item);
  }

  undo() {
    const last = this.undone.pop();
    if (!last) return this.complain("nothing was decided on this page of the browser that could be undone");
    this.queue.add({ sample_id: last.sample_id, action: "undo", key: last.key });
    const at = this.data.items.findIndex((item) => item.id === last.sample_id);
    if (at >= 0) this.go(at);
  }

  // What a decision will make of a sample, shown until the server has answered what it did.
  foresee(item, decision) {
    if (!item || decision.action === "undo") return;
    if (!item.reviewed) this.reviewed += 1;
    item.reviewed = true;
    if (decision.action === "reject") item.status = "rejected";
    if (decision.action === "accept" && item.status === "rejected") item.status = item.has_face ? "ok" : "accepted";
    if (decision.action === "relabel") item.labels[decision.task] = decision.label === null ? "" : String(decision.label);
    if (decision.action === "face") {
      const face = item.boxes.find((other) => same(other.box, decision.box, 0.5));
      if (face) Object.assign(item, { box: face.at, chosen: true });
    }
  }

  refused(text, decision) {
    this.complain(text);
    this.undone = this.undone.filter((other) => other.key !== decision.key);
    const item = this.data.items.find((other) => other.id === decision.sample_id);
    const before = this.before.get(decision.key);
    if (item && before) {
      if (item.reviewed && !before.reviewed) this.reviewed -= 1;
      Object.assign(item, before);
      this.redraw(item);
    }
  }

  saved(answer, decision) {
    this.before.delete(decision.key);
    this.reviewed = answer.reviewed;
    const item = this.data.items.find((other) => other.id === decision.sample_id);
    const later = this.queue.list.some((other) => other.sample_id === decision.sample_id);
    if (item && !later) {
      Object.assign(item, answer.standing);
      this.redraw(item);
    }
    this.drawBar();
  }

  complain(text) {
    const problem = this.find(".problem");
    problem.textContent = text;
    problem.hidden = !text;
  }

  // Drawing ------------------------------------------------------------------------------------------------------------

  redraw(item) {
    const at = this.data.items.indexOf(item);
    this.cell(at)?.replaceWith(this.newCell(item, at));
    if (at === this.here) this.drawDetail();
    this.drawBar();
  }

  cell(at) {
    return this.find(`.cell[data-at="${at}"]`);
  }

  drawSheet() {
    const cells = this.data.items.map((item, at) => this.newCell(item, at));
    this.find(".sheet").replaceChildren(...(cells.length ? cells : [element("p", "empty", "No sample passes the filters.")]));
  }

  newCell(item, at) {
    const cell = element("button", "cell");
    Object.assign(cell, { type: "button", title: item.image });
    Object.assign(cell.dataset, { at, id: item.id });
    cell.setAttribute("role", "option");
    cell.classList.toggle("here", at === this.here);
    cell.classList.toggle("rejected", item.status === "rejected");
    cell.append(item.has_face ? picture("thumb", this.address("face", item), "") : element("span", "none", item.status));
    cell.append(element("span", "name", item.labels[this.data.task] || "–"));
    if (item.reviewed) cell.append(element("span", "sign", item.status === "rejected" ? "×" : "✓"));
    if (item.suspects[this.data.task] !== undefined) cell.append(element("span", "doubt", "?"));
    return cell;
  }

  address(kind, item) {
    return `/review/${kind}/${item.id}.jpg?v=${this.data.version}`;
  }

  drawDetail() {
    const item = this.item();
    this.find(".detail").hidden = !item;
    if (!item) return;
    const task = this.data.task;
    setPicture(this.find(".photo"), item.has_photo ? this.address("photo", item) : "");
    setPicture(this.find(".crop"), item.has_face ? this.address("face", item) : "");
    const decided = item.reviewed ? ` · ${item.decided?.join(", ") || "decided"}` : "";
    this.find(".status").textContent = item.status + decided;
    this.find(".label").textContent = task ? `${task}: ${item.labels[task] || "no label"}` : "";
    const suggested = item.suspects[task];
    this.find(".suggestion").textContent = suggested === undefined ? "" : `suspected; an audit suggests ${suggested || "none"}`;
    const score = item.score === null ? "" : `score ${item.score} · `;
    const faces = `${score}${item.faces} ${item.faces === 1 ? "face" : "faces"}`;
    const chosen = item.chosen ? "another face is chosen; the next preprocessing cuts it" : "";
    this.find(".more").textContent = [faces, item.source, item.split, item.image, item.reason, chosen].filter(Boolean).join(" · ");
    this.find("[data-act=face]").disabled = !this.data.choosable || item.boxes.length < 2;
    this.drawLabels(item, task);
    this.drawBoxes();
  }

  drawLabels(item, task) {
    const known = this.data.tasks[task];
    const buttons = (known?.labels ?? []).slice(0, 24).map((label, i) => {
      const button = element("button", label === item.labels[task] ? "now" : "");
      if (i < 9) button.append(element("kbd", "", String(i + 1)));
      button.append(label);
      Object.assign(button, { type: "button" });
      button.dataset.label = label;
      return button;
    });
    this.find(".labels").replaceChildren(...buttons);
    this.find(".other").hidden = !known;
  }

  drawBoxes() {
    const item = this.item();
    const photo = this.find(".photo");
    const boxes = this.find(".boxes");
    if (!item || photo.hidden || !photo.complete) return boxes.replaceChildren();
    Object.assign(boxes.style, { inset: "auto", left: `${photo.offsetLeft}px`, top: `${photo.offsetTop}px` });
    Object.assign(boxes.style, { width: `${photo.offsetWidth}px`, height: `${photo.offsetHeight}px` });
    const faces = item.boxes.length ? item.boxes : item.box ? [{ at: item.box }] : [];
    boxes.replaceChildren(...faces.map((face, i) => {
      const [x1, y1, x2, y2] = face.at;
      const button = element("button", same(face.at, item.box) ? "chosen" : "");
      Object.assign(button, { type: "button", title: `face ${i + 1}` });
      button.dataset.face = i;
      Object.assign(button.style, { left: `${100 * x1}%`, top: `${100 * y1}%` });
      Object.assign(button.style, { width: `${100 * (x2 - x1)}%`, height: `${100 * (y2 - y1)}%` });
      return button;
    }));
  }

  drawBar() {
    if (!this.data) return;
    const { total, page, pages, selected } = this.data;
    const bar = this.find(".progress");
    bar.firstElementChild.style.width = `${total ? (100 * this.reviewed) / total : 0}%`;
    bar.setAttribute("aria-valuenow", this.reviewed);
    bar.setAttribute("aria-valuemax", total);
    this.find(".count").textContent = `${this.reviewed} of ${total} reviewed · ${selected} here`;
    this.find(".where").textContent = `${page + 1} / ${pages}`;
    this.find(".back").disabled = page === 0;
    this.find(".forth").disabled = page + 1 >= pages;
    const waiting = this.queue.list.length;
    const saving = this.find(".saving");
    saving.classList.toggle("late", waiting > 0 && this.queue.failing);
    saving.textContent = waiting ? `${waiting} not saved yet` : "all saved";
  }
}

function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  if (text) made.textContent = text;
  return made;
}

function picture(kind, address, alt) {
  const made = element("img", kind);
  Object.assign(made, { loading: "lazy", decoding: "async", alt, src: address });
  return made;
}

function setPicture(image, address) {
  image.hidden = !address;
  if (address && !image.src.endsWith(address)) image.src = address;
}

function same(a, b, tolerance = 0.002) {
  return Boolean(a && b) && a.every((value, i) => Math.abs(value - b[i]) < tolerance);
}

function random() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
