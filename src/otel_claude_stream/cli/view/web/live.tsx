// The page while the command runs: its events, and the streams that are open.
import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { Streams, type Row } from "./data";
import { clockHere, count, plural, seconds } from "./format";
import { lanes } from "./list";

interface Open {
  key: string; name: string; model: string; doing: string; request_id: string; stall: string;
  started: number; age: number; area: string; lasts: number; hangs: boolean;
}
export interface Now {
  title: string; subtitle: string; notes: string[];
  open: Open[]; count: number; hanging: number; ended: number; failed: number; code: number | null;
  first: boolean; gone: string[];
}
export interface Source {
  now: Now | null;
  lost: boolean;
  /** Functions to call when `now` or `lost` has changed. */
  readonly changed: Set<() => void>;
}

/** Follow the events of the command. `replace` gets all streams when some of them have changed. */
export function follow(url: string, replace: (streams: Streams) => void): Source {
  const source: Source = { now: null, lost: false, changed: new Set() };
  const rows = new Map<string, Row>();
  let arrived: Row[] = [];
  const events = new EventSource(url);
  const show = () => source.changed.forEach((one) => one());
  events.addEventListener("stream", (event) => { arrived.push(JSON.parse(event.data) as Row); });
  // A state and the streams before it belong together, so they are shown together.
  events.addEventListener("state", (event) => {
    const now = JSON.parse(event.data) as Now;
    const stay = hold();
    if (now.first) rows.clear();
    for (const key of now.gone) rows.delete(key);
    for (const row of arrived) rows.set(row.texts.trace, row);
    const differs = now.first || now.gone.length > 0 || arrived.length > 0;
    arrived = [];
    source.now = now;
    source.lost = false;
    if (now.code !== null) events.close();
    if (differs) replace(Streams.of(now, [...rows.values()]));
    show();
    Promise.resolve().then(() => Promise.resolve().then(stay));
  });
  events.onerror = () => {
    arrived = [];
    source.lost = true;
    show();
  };
  return source;
}

/** Return a function that scrolls the topmost lane back to where it is now, after lanes were added above it. */
function hold(): () => void {
  const key = lanes.topmost();
  const before = key && lanes.topOf(key);
  return () => {
    const after = key && lanes.topOf(key);
    if (typeof before === "number" && typeof after === "number") scrollBy({ top: after - before });
  };
}

function statusOf({ now, lost }: Source): string {
  if (lost) return "No connection to the command. The page tries again; the streams are those that it knew last.";
  if (!now) return "Connecting to the command\u2026";
  const ended = `${count(now.ended)} ended, ${count(now.failed)} failed`;
  if (now.code !== null) return `The application ended with exit code ${now.code}: ${ended}. This page stays until it is closed.`;
  return `Live: ${count(now.count)} open${now.hanging ? `, ${count(now.hanging)} without progress` : ""}, ${ended}`;
}

export function Live({ source }: { source: Source }) {
  const [, draw] = useState(0);
  useEffect(() => {
    const changed = () => draw((n) => n + 1);
    source.changed.add(changed);
    changed();
    return () => { source.changed.delete(changed); };
  }, [source]);
  const { now, lost } = source;
  const status = statusOf(source);
  useLayoutEffect(() => { if (now) document.title = now.count ? `(${now.count} open) ${now.title}` : now.title; }, [now?.count, now?.title]);
  const longest = Math.max(0.001, ...(now?.open ?? []).map((one) => one.age));
  return (
    <section class="now" aria-labelledby="now-title">
      <h2 id="now-title" class="hidden">Now</h2>
      <p role="status" class={lost ? "pulse lost" : now && now.code === null ? "pulse live" : "pulse"}>{status}</p>
      {now && now.open.length > 0 && (
        <ul class={lost ? "open-streams stale" : "open-streams"} aria-label="Open streams" tabIndex={0}>
          {now.open.map((one) => <OpenStream key={one.key} one={one} longest={longest} />)}
          {now.count > now.open.length && <li class="rest">{plural(now.count - now.open.length, "more open stream")}</li>}
        </ul>
      )}
    </section>
  );
}

function OpenStream({ one, longest }: { one: Open; longest: number }): JSX.Element {
  const lasts = Math.min(one.age, one.area ? one.lasts : 0);
  return (
    <li>
      <span class="title"><b>{one.name}</b><small>{[clockHere(one.started), one.model].filter(Boolean).join(" \u00b7 ")}</small></span>
      <span class="doing"><b class={one.hangs ? "hangs" : undefined}>{one.doing}</b>{one.stall && <> <em>stall {one.stall}</em></>}</span>
      <span class="sofar"><b>{seconds(one.age)}</b>{one.request_id && <small>{one.request_id}</small>}</span>
      <span class="grows" aria-hidden="true"><i class="past" style={{ flexGrow: one.age - lasts }} /><i class={`area ${one.area}`} style={{ flexGrow: lasts }} /><i style={{ flexGrow: longest - one.age }} /></span>
    </li>
  );
}
