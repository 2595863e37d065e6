// The event stream with a watchdog of its own: EventSource alone neither notices a stalled stream nor comes back from
// a refused one.

const STALE_SECONDS = 3;
const SILENT_SECONDS = 5; // then the connection is made anew …
const LONGEST_WAIT_SECONDS = 15; // … at most this long after the last attempt

export class Link {
  constructor({ history, rack, state }) {
    this.on = { history, rack, state };
    this.heard = null; // performance.now() of the last new snapshot
    this.last = null; // which one it was
    this.attempted = 0;
    this.failures = 0;
    this.open();
    setInterval(() => this.watch(), 500);
    document.addEventListener("visibilitychange", () => this.watch());
    addEventListener("online", () => this.open());
  }

  open() {
    this.source?.close();
    this.members = null;
    this.partial = false;
    this.attempted = performance.now();
    this.source = new EventSource("api/v1/stream");
    this.source.addEventListener("history", (event) => this.on.history(JSON.parse(event.data)));
    this.source.addEventListener("rack", (event) => {
      const rack = JSON.parse(event.data);
      this.members = rack.members;
      this.take(rack);
    });
    // Of a hall the members come only each few seconds; between, the figures of the rack stand beside the last of them.
    this.source.addEventListener("figures", (event) => {
      this.partial = true;
      if (this.members) this.take({ ...JSON.parse(event.data), members: this.members });
    });
  }

  // A snapshot that was seen before is not news: a daemon that has stopped reckoning sends it at every connection.
  take(rack) {
    const mark = `${rack.sequence} ${rack.at}`;
    if (mark === this.last) return;
    this.last = mark;
    this.heard = performance.now();
    this.failures = 0;
    this.on.rack(rack);
    this.tell();
  }

  get age() {
    return this.heard === null ? null : (performance.now() - this.heard) / 1000;
  }

  watch() {
    const quiet = (performance.now() - Math.max(this.heard ?? 0, this.attempted)) / 1000;
    const patience = Math.min(SILENT_SECONDS * 1.5 ** this.failures, LONGEST_WAIT_SECONDS);
    const closed = this.source.readyState === EventSource.CLOSED;
    if (quiet > patience || (closed && quiet > Math.min(1 + this.failures, SILENT_SECONDS))) {
      this.failures += 1;
      this.open();
    }
    this.tell();
  }

  tell() {
    const { age } = this;
    const connected = this.source.readyState === EventSource.OPEN;
    this.on.state({ age, connected, stale: age !== null && age > STALE_SECONDS, partial: this.partial });
  }
}
