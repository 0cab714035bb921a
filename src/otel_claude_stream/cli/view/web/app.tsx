import { options, render } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Chart, outcomeClass, reasonClass, reasonsOf } from "./chart";
import { load, Streams, type LiveHead } from "./data";
import { count, plural, readable, seconds } from "./format";
import { Sign } from "./lane";
import { List } from "./list";
import { follow, Live, type Source } from "./live";
import { AXES, EMPTY, FACETS, filtered, hashOf, parse, percentile, select, SORTS, toggled, type State } from "./state";

const MOST_VALUES = 8; // of a facet, before "more"
const KEYS: [string, string][] = [
  ["/", "search"], ["f", "failed only"], ["j k or arrows", "next and previous stream"], ["Enter", "open or close a stream"],
  ["Esc", "close, then clear the filters"], ["?", "this help"],
];

function App({ streams, source }: { streams: Streams; source?: Source }) {
  const [state, setState] = useState<State>(() => parse(location.hash));
  const [activeKey, setActiveKey] = useState("");
  const [printing, setPrinting] = useState(false);
  const [help, setHelp] = useState(false);
  const many = streams.count > 1 || source !== undefined;
  const search = useRef<HTMLInputElement>(null);
  const reasons = useMemo(() => reasonsOf(streams), [streams]);
  const { shown, charted, counts } = useMemo(() => select(streams, state), [streams, state.q, state.failed, state.facets, state.from, state.to, state.sort, state.down]);
  const active = activeKey ? shown.indexOf(streams.find(activeKey)) : -1;
  const setActive = (at: number) => setActiveKey(at < 0 ? "" : streams.text("trace", shown[at]));
  const change = (next: Partial<State>, replace = false) => {
    const changed = { ...state, ...next };
    const hash = hashOf(changed);
    history[replace ? "replaceState" : "pushState"](null, "", hash ? `#${hash}` : location.pathname + location.search);
    setState(changed);
    if (!("open" in next)) setActive(-1);
  };

  // The time of the chart begins with the first stream, which another one may become while the command runs.
  const first = useRef(streams.head.first);
  useLayoutEffect(() => {
    const moved = (first.current - streams.head.first) / 1000;
    first.current = streams.head.first;
    if (moved && state.from !== null) change({ from: state.from + moved, to: state.to! + moved }, true);
  }, [streams]);
  // A link to a stream brings it into view.
  useEffect(() => {
    const at = state.open ? shown.indexOf(streams.find(state.open)) : -1;
    if (at >= 0 && many) setActive(at);
  }, [state.open, streams.find(state.open) >= 0]);
  useEffect(() => {
    const read = () => setState(parse(location.hash));
    addEventListener("hashchange", read);
    addEventListener("popstate", read);
    return () => { removeEventListener("hashchange", read); removeEventListener("popstate", read); };
  }, []);
  useEffect(() => {
    // The browser takes the page as it is when the event returns, so this is drawn at once.
    const now = (value: boolean) => () => {
      options.debounceRendering = (draw) => draw();
      setPrinting(value);
      options.debounceRendering = undefined;
    };
    const [begin, end] = [now(true), now(false)];
    addEventListener("beforeprint", begin);
    addEventListener("afterprint", end);
    return () => { removeEventListener("beforeprint", begin); removeEventListener("afterprint", end); };
  }, []);
  // A key may come before the next paint, so neither the listener nor the focus waits for it.
  useLayoutEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
      if (event.key === "Escape") {
        if (help) setHelp(false);
        else if (state.open) change({ open: "" });
        else if (filtered(state)) change({ ...EMPTY, sort: state.sort, down: state.down, axis: state.axis });
        if (typing) (event.target as HTMLElement).blur();
        return;
      }
      const inRow = event.target instanceof HTMLElement && event.target.dataset.at !== undefined;
      const move = (by: number) => { if (shown.length) setActive(Math.max(0, Math.min(shown.length - 1, active + by))); };
      const actions: Record<string, () => void> = {
        "/": () => search.current!.focus(), "?": () => setHelp(!help), f: () => change({ failed: !state.failed }), j: () => move(1), k: () => move(-1),
        ...(inRow ? { ArrowDown: () => move(1), ArrowUp: () => move(-1), PageDown: () => move(10), PageUp: () => move(-10), Home: () => setActive(0), End: () => setActive(shown.length - 1) } : {}),
      };
      if (typing || !actions[event.key]) return;
      event.preventDefault();
      actions[event.key]();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  });

  return (
    <>
      <header><h1>{streams.head.title}</h1><p>{streams.head.subtitle}</p></header>
      <main>
        {source && <Live source={source} />}
        {streams.head.notes.map((note) => <p class="note" key={note}>{note}</p>)}
        <Cards streams={streams} shown={shown} />
        {streams.count > 1 && streams.start(streams.count - 1) > 0 && <Chart streams={streams} charted={charted} reasons={reasons} state={state} zoom={(from, to) => change({ from, to })} />}
        <div class={many ? "desk" : "desk single"}>
          {many && <Facets streams={streams} counts={counts} reasons={reasons} state={state} toggle={(facet, value) => change(toggled(state, facet, value))} />}
          <section class="streams" aria-labelledby="streams-title">
            <h2 id="streams-title" class={many ? "" : "hidden"}>Streams</h2>
            {many && (
              <div class="tools" role="search">
                <input ref={search} type="search" value={state.q} placeholder="Search names and ids  ( / )" aria-label="Search names and ids" maxLength={200}
                  onInput={(event) => change({ q: event.currentTarget.value }, true)} />
                <button type="button" class="toggle" aria-pressed={state.failed} onClick={() => change({ failed: !state.failed })}>Failed only <kbd>f</kbd></button>
                <label>Sort <select value={state.sort} onChange={(event) => change({ sort: event.currentTarget.value, down: !["start", "name", "reason"].includes(event.currentTarget.value) })}>
                  {SORTS.map(([name, title]) => <option key={name} value={name}>{title}</option>)}</select></label>
                <button type="button" class="toggle" aria-label={state.down ? "Descending" : "Ascending"} title="Reverse the order" onClick={() => change({ down: !state.down })}>{state.down ? "↓" : "↑"}</button>
                <label>Axis <select value={state.axis} onChange={(event) => change({ axis: event.currentTarget.value })}>
                  {AXES.map(([name, title]) => <option key={name} value={name}>{title}</option>)}</select></label>
                <button type="button" class="toggle" aria-expanded={help} aria-label="Keys and legend" onClick={() => setHelp(!help)}>?</button>
                <p role="status">{shown.length === streams.count ? plural(streams.count, "stream") : `${count(shown.length)} of ${plural(streams.count, "stream")}`}
                  {filtered(state) && <> <button type="button" class="link" onClick={() => change({ ...EMPTY, sort: state.sort, down: state.down, axis: state.axis })}>Clear filters</button></>}</p>
              </div>
            )}
            {help && <dl class="keys">{KEYS.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{text}</dd></div>)}</dl>}
            <Legend resumed={streams.head.texts.policy[0].some(Boolean)} />
            {shown.length ? <List streams={streams} shown={shown} state={state} active={active} activeKey={activeKey} printing={printing} open={(key) => change({ open: key })} activate={setActive} />
              : <p class="none">{streams.count ? "No stream matches the filters." : source ? "No stream has ended yet." : "No stream was seen."}</p>}
          </section>
        </div>
        <Reading />
      </main>
      <footer><p>Made by otel-claude-stream from OpenTelemetry spans. It contains counts, sizes and times, but neither prompts nor answers.</p></footer>
    </>
  );
}

function Cards({ streams, shown }: { streams: Streams; shown: number[] }) {
  const outcomes = new Map<string, number>([["completed", 0], ["failed", 0], ["closed", 0]]);
  const results = new Map<string, number>();
  const ttfts: number[] = [];
  let [silence, requests, silent] = [0, 0, false];
  for (const n of shown) {
    const [outcome, result, ttft, longest] = [streams.text("outcome", n), streams.text("recovery", n), streams.figure("ttft", n), streams.figure("silence", n)];
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    if (result) results.set(result, (results.get(result) ?? 0) + 1);
    if (ttft !== null) ttfts.push(ttft);
    if (longest !== null) [silence, silent] = [Math.max(silence, longest), true];
    requests += streams.figure("requests", n) ?? 1;
  }
  ttfts.sort((one, two) => one - two);
  const shares = [...outcomes].filter(([, many]) => many);
  return (
    <div class="cards">
      <section class="card"><h3>Streams</h3><p class="figure">{count(shown.length)}</p>
        <div class="bar" aria-hidden="true">{shares.map(([outcome, many]) => <span key={outcome} class={outcomeClass(outcome)} style={{ flex: many }} />)}</div>
        <ul class="outcomes">{shares.map(([outcome, many]) => <li key={outcome}><Sign outcome={outcome} /><b>{count(many)}</b> {readable(outcome)}</li>)}</ul></section>
      <section class="card"><h3>Time to first token</h3><p class="figure">{seconds(percentile(ttfts, 0.5))}</p><p>median; 95th percentile <b>{seconds(percentile(ttfts, 0.95))}</b></p></section>
      <section class="card"><h3>Longest silence</h3><p class="figure">{seconds(silent ? silence : null)}</p><p>without a byte</p></section>
      <section class="card"><h3>HTTP requests</h3><p class="figure">{count(requests)}</p><p>for {plural(shown.length, "stream")}</p>
        <p>{[...results].sort((one, two) => two[1] - one[1]).map(([result, many], n) => <>{n > 0 && ", "}<b>{count(many)}</b> {result}</>)}</p></section>
    </div>
  );
}

interface FacetProps { streams: Streams; counts: Map<string, Map<string, number>>; reasons: string[]; state: State; toggle(facet: string, value: string): void }

function Facets({ streams, counts, reasons, state, toggle }: FacetProps) {
  const [whole, setWhole] = useState<Record<string, boolean>>({});
  const [unfolded, setUnfolded] = useState(false);
  // A facet with one value, or with another one for each stream, selects nothing.
  const useful = FACETS.filter(([name]) => {
    const values = streams.head.texts[name][0].length;
    return state.facets[name] || (values > 1 && (values < streams.count || values <= MOST_VALUES));
  });
  const chosen = Object.values(state.facets).flat().length;
  return (
    <nav class={unfolded ? "facets unfolded" : "facets"} aria-label="Filters">
      <button type="button" class="toggle fold" aria-expanded={unfolded} onClick={() => setUnfolded(!unfolded)}>Filters{chosen ? ` (${chosen})` : ""}</button>
      {useful.map(([name, title]) => {
        const values = [...counts.get(name)!];
        const listed = whole[name] ? values.slice(0, 100) : values.slice(0, MOST_VALUES);
        for (const value of state.facets[name] ?? []) if (!listed.some(([one]) => one === value)) listed.push([value, counts.get(name)!.get(value) ?? 0]);
        return (
          <section key={name}>
            <h3 id={`facet-${name}`}>{title}</h3>
            <ul aria-labelledby={`facet-${name}`}>
              {listed.map(([value, many]) => (
                <li key={value}><button type="button" aria-pressed={(state.facets[name] ?? []).includes(value)} onClick={() => toggle(name, value)} title={value}>
                  {name === "outcome" && <Sign outcome={value} />}
                  {name === "reason" && <i class={reasonClass(reasons, value)} />}
                  <span>{["outcome", "reason", "origin", "recovery"].includes(name) ? readable(value) : value}</span><b>{count(many)}</b></button></li>
              ))}
            </ul>
            {values.length > MOST_VALUES && <button type="button" class="link" onClick={() => setWhole({ ...whole, [name]: !whole[name] })}>{whole[name] ? "fewer" : `${count(values.length - MOST_VALUES)} more`}</button>}
            {!values.length && <p class="nothing">none</p>}
          </section>
        );
      })}
    </nav>
  );
}

function Legend({ resumed }: { resumed: boolean }) {
  const mark = (kind: string, y: [number, number]) => <svg width={14} height={22} viewBox="0 0 20 32" aria-hidden="true"><path class={`tick ${kind}`} d={[4, 10, 16].map((x) => `M${x} ${y[0]}V${y[1]}`).join("")} /></svg>;
  const sample = (kind: string) => <svg width={22} height={16} aria-hidden="true"><rect class={kind} x={1} y={1} width={20} height={14} rx={2} /></svg>;
  const dashes = (kind: string) => <svg width={22} height={16} aria-hidden="true"><path class={kind} d="M0 8H22" /></svg>;
  return (
    <div class="legend">
      <ul aria-label="Ticks: one for each event">
        <li>{mark("text", [7, 25])} text</li><li>{mark("thinking", [7, 16])} thinking</li><li>{mark("tool_use", [16, 25])} tool input</li>
        <li>{mark("structure", [10, 22])} start or end of a block</li><li>{mark("ping", [14, 19])} ping</li>
      </ul>
      <ul aria-label="Areas">
        <li>{dashes("asked")} no response yet</li><li>{sample("gap first")} no token yet</li><li>{sample("gap silent")} silence</li><li>{sample("gap pings")} pings only</li>
        <li>{sample("gap caller")} caller busy</li><li>{sample("attempt")} failed request</li><li>{dashes("backoff")} backoff</li>
        {resumed && <><li><svg width={12} height={20} aria-hidden="true"><path class="broken" d="M6 1V19M2.5 6.5l7 7m0 -7l-7 7" /></svg> broken attempt</li>
          <li><svg width={12} height={20} aria-hidden="true"><path class="seam fits" d="M6 3V20" /><circle class="seam fits" cx={6} cy={4} r={3.5} /></svg> the text continues</li>
          <li><svg width={12} height={20} aria-hidden="true"><path class="seam misfits" d="M6 3V20" /><circle class="seam misfits" cx={6} cy={4} r={3.5} /></svg> no seam</li>
          <li>{sample("gap seam")} until the seam</li></>}
      </ul>
    </div>
  );
}

function Reading() {
  return (
    <section class="reading" aria-labelledby="reading-title">
      <h2 id="reading-title">How to read the lanes</h2>
      <dl>
        <dt>A lane is one call.</dt>
        <dd>It ends at its marker. Each tick is one event as it arrived. Point at a tick to see its details. Open a lane to see the stream on a separate axis, with its story. Streams that lie far apart each begin at zero.</dd>
        <dt>Two clocks.</dt>
        <dd><i>Silence</i> is time without a single byte. Timeouts of proxies and clients measure it. <i>Pings only</i> is time in which pings kept the connection alive while the answer made no progress. No timeout measures that.</dd>
        <dt>Completed, failed, closed.</dt>
        <dd>A stream is <i>completed</i> if the whole answer arrived. It <i>failed</i> if the API, an intermediary, the network or a timeout ended it, whether or not the application received an exception. It is <i>closed</i> if the application itself ended it, which counts in no error rate.</dd>
        <dt>Retried, continued, given up.</dt>
        <dd>A stream was <i>retried</i> if it began again before any content was delivered. It was <i>continued</i> if a further request resumed the text at the seam. If it was <i>given up</i>, the application received the first error.</dd>
        <dt>Evidence, not proof.</dt>
        <dd>A limit such as <i>idle:60s</i> means that the ending is consistent with the default of the named products, no more.</dd>
      </dl>
    </section>
  );
}

/** The page of a command that runs, which gets its streams one after the other. */
function Following({ head }: { head: LiveHead }) {
  const [streams, replace] = useState(() => Streams.of({ title: head.title, subtitle: "", notes: [] }, []));
  const [source, setSource] = useState<Source>();
  useEffect(() => setSource(follow(head.live, replace)), []);
  return useMemo(() => source && <App streams={streams} source={source} />, [streams, source]) ?? null;
}

const root = document.getElementById("app")!;
load(document.getElementById("data")!.textContent!).then(
  (streams) => {
    if ("live" in streams) {
      document.documentElement.classList.add("following");
      render(<Following head={streams} />, root);
      root.dataset.ready = "true";
      return;
    }
    if (streams.count === 1 && !location.hash) history.replaceState(null, "", `#${hashOf({ ...EMPTY, open: streams.text("trace", 0) })}`);
    render(<App streams={streams} />, root);
    root.dataset.ready = "true";
  },
  (error: unknown) => { root.textContent = `The data of this report cannot be read: ${error}`; },
);
