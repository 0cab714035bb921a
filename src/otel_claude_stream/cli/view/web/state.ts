// What the page shows: the state in the location's hash, and the streams and counts that it selects.
import type { Streams } from "./data";

export const FACETS: [name: string, title: string][] = [
  ["outcome", "Outcome"], ["reason", "Reason"], ["origin", "Origin"], ["limit", "Limit match"],
  ["recovery", "Retried or resumed"], ["model", "Model"], ["server", "Server"], ["helper", "Called by"],
  ["service", "Service"],
];
export const SORTS: [name: string, title: string][] = [
  ["start", "start"], ["duration", "duration"], ["ttft", "time to first token"], ["silence", "longest silence"],
  ["requests", "HTTP requests"], ["output", "output tokens"], ["name", "name"], ["reason", "reason"],
];
export const AXES: [name: string, title: string][] = [
  ["auto", "automatic"], ["shared", "shared time"], ["call", "from each call"], ["fit", "each fitted"],
];

export interface State {
  q: string;
  failed: boolean;
  facets: Record<string, string[]>;
  /** Seconds from the start of the first stream; the chart is zoomed to them. */
  from: number | null;
  to: number | null;
  sort: string;
  down: boolean;
  axis: string;
  open: string;
}
export const EMPTY: State = {
  q: "", failed: false, facets: {}, from: null, to: null, sort: "start", down: false, axis: "auto", open: "",
};

const known = (table: [string, string][], value: string | null): string =>
  table.some(([name]) => name === value) ? value! : table[0][0];

export function parse(hash: string): State {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name: string) => {
    const value = found.get(name);
    return value !== null && value !== "" && Number.isFinite(+value) ? +value : null;
  };
  const facets: Record<string, string[]> = {};
  for (const [name] of FACETS) if (found.has(name)) facets[name] = found.getAll(name);
  const sort = found.get("sort") ?? "";
  const [from, to] = [number("from"), number("to")];
  const window = from !== null && to !== null && from < to ? { from, to } : { from: null, to: null };
  return {
    q: found.get("q") ?? "", failed: found.has("failed"), facets, ...window,
    sort: known(SORTS, sort.replace(/^-/, "")), down: sort.startsWith("-"),
    axis: known(AXES, found.get("axis")), open: found.get("open") ?? "",
  };
}

export function hashOf(state: State): string {
  const found = new URLSearchParams();
  if (state.q) found.set("q", state.q);
  if (state.failed) found.set("failed", "1");
  for (const [name, values] of Object.entries(state.facets)) for (const value of values) found.append(name, value);
  if (state.from !== null && state.to !== null) {
    found.set("from", String(+state.from.toFixed(4)));
    found.set("to", String(+state.to.toFixed(4)));
  }
  if (state.sort !== "start" || state.down) found.set("sort", (state.down ? "-" : "") + state.sort);
  if (state.axis !== "auto") found.set("axis", state.axis);
  if (state.open) found.set("open", state.open);
  return found.toString();
}

export const toggled = (state: State, facet: string, value: string): State => {
  const old = state.facets[facet] ?? [];
  const values = old.includes(value) ? old.filter((one) => one !== value) : [...old, value];
  const { [facet]: _, ...others } = state.facets;
  return { ...state, facets: values.length ? { ...others, [facet]: values } : others };
};

export const filtered = (state: State): boolean =>
  Boolean(state.q || state.failed || state.from !== null || Object.keys(state.facets).length);

export interface Selection {
  /** The streams to show, sorted. */
  shown: number[];
  /** Those that the chart counts: as shown, but at any time. */
  charted: number[];
  /** For each facet, the number of streams of each value that its other filters admit. */
  counts: Map<string, Map<string, number>>;
}

export function select(streams: Streams, state: State): Selection {
  const words = state.q.toLowerCase().split(/\s+/).filter(Boolean);
  const searched = words.length ? streams.searched : [];
  const facets = FACETS.map(([name]) => {
    const [values, places] = streams.head.texts[name];
    const wanted = state.facets[name];
    return { values, places, admitted: wanted && values.map((value) => wanted.includes(value)), counts: new Array<number>(values.length).fill(0) };
  });
  const [outcomes, outcomeOf] = streams.head.texts.outcome;
  const failed = outcomes.indexOf("failed");
  const shown: number[] = [];
  const charted: number[] = [];
  for (let n = 0; n < streams.count; n++) {
    if (state.failed && outcomeOf[n] !== failed) continue;
    if (words.length && !words.every((word) => searched[n].includes(word))) continue;
    let misses = 0;
    let missed = -1;
    for (let f = 0; f < facets.length; f++) {
      const { admitted, places } = facets[f];
      if (admitted && !admitted[places[n]]) (misses++, (missed = f));
    }
    if (misses === 0) charted.push(n);
    const at = streams.start(n);
    if (state.from !== null && (at < state.from || at > state.to!)) continue;
    if (misses === 0) {
      shown.push(n);
      for (const facet of facets) facet.counts[facet.places[n]]++;
    } else if (misses === 1) facets[missed].counts[facets[missed].places[n]]++;
  }
  sort(streams, state, shown);
  const counts = new Map(FACETS.map(([name], f) => {
    const { values, counts: found, admitted } = facets[f];
    const listed = values.map((value, v): [string, number] => [value, found[v]]);
    return [name, new Map(listed.filter(([value, n], v) => value && (n || admitted?.[v])).sort((one, two) => two[1] - one[1]))];
  }));
  return { shown, charted, counts };
}

/** Sort in place. Streams without a value stay last in either direction. */
function sort(streams: Streams, { sort: by, down }: State, found: number[]): void {
  const value = (n: number): number | string | null =>
    by === "start" ? streams.start(n) : by === "name" ? streams.name(n) : by === "reason" ? streams.text(by, n) || null : streams.figure(by, n);
  const keyed = found.map((n) => [value(n), n] as const);
  keyed.sort(([a, m], [b, n]) => {
    if (a === null || b === null) return Number(a === null) - Number(b === null) || m - n;
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return (down ? -order : order) || m - n;
  });
  keyed.forEach(([, n], at) => { found[at] = n; });
}

export function percentile(values: number[], share: number): number | null {
  if (!values.length) return null;
  const at = share * (values.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, values.length - 1);
  return values[low] + (values[high] - values[low]) * (at - low);
}
