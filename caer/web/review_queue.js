// Decisions on their way: in order, one at a time, sent again until the server has them on disk or says why not.

const WAITING = "caer-review-waiting"; // what is not saved yet outlives a reload of the page
const PAUSE = 1000; // milliseconds before a server that does not answer is asked again

class Queue {
  // The one queue of the browser's tab, though the sheet may be put up again; it tells the newest sheet.
  static only(tell) {
    window.caerReviewQueue ??= new Queue();
    return Object.assign(window.caerReviewQueue, { tell });
  }

  constructor() {
    Object.assign(this, { failing: false, busy: false });
    this.list = JSON.parse(sessionStorage.getItem(WAITING) ?? "[]");
  }

  add(decision) {
    this.list.push(decision);
    this.keep();
    this.start();
  }

  keep() {
    sessionStorage.setItem(WAITING, JSON.stringify(this.list));
    this.tell.changed();
  }

  start() {
    if (!this.busy && this.list.length) this.run();
  }

  async run() {
    this.busy = true;
    while (this.list.length) {
      const [answer, status] = await send(this.list[0]);
      if (status === 0 || status === 502 || status === 503) {
        this.failing = true;
        this.tell.failing("The server does not answer. What is not saved yet is kept here and sent again.");
        this.tell.changed();
        await new Promise((resolve) => setTimeout(resolve, PAUSE));
        continue;
      }
      if (this.failing) this.tell.failing("");
      this.failing = false;
      const decision = this.list.shift();
      this.keep();
      if (status === 200) this.tell.saved(answer, decision);
      else this.tell.refused(`Not saved: ${answer?.error ?? `the server answers ${status}`}`, decision);
    }
    this.busy = false;
  }
}

async function send(decision) {
  const headers = { "Content-Type": "application/json", "X-CAER-Page": "review" };
  try {
    const reply = await fetch("/review/decisions", { method: "POST", headers, body: JSON.stringify(decision) });
    return [await reply.json().catch(() => null), reply.status];
  } catch {
    return [null, 0];
  }
}
