// The lanes, of which only those near the window are elements.
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Streams } from "./data";
import { clock, plural, readable, seconds } from "./format";
import { useWidth } from "./hooks";
import { alternative, attemptText, Scale, Track, type Axis } from "./lane";
import { outcomeClass } from "./chart";
import type { State } from "./state";

const FAR_APART = 20; // times the longest stream, which would be less than 5 % of a shared axis
const BEYOND = 400; // pixels above and below the window
const COVERED = 40; // pixels at the top of the window that the scale covers
const MOST_ROWS = 60; // elements of the list, also on paper

/** Where the lanes are, for a page to which streams are added. */
export const lanes = {
  /** The key of the topmost lane, unless the list begins far below the top of the window. */
  topmost: (): string | undefined => undefined,
  /** The pixels from the top of the window to a lane, also of one that is not drawn. */
  topOf: (_key: string): number | undefined => undefined,
};

interface Props {
  streams: Streams;
  shown: number[];
  state: State;
  /** The position of the active stream, and its key, which stays the same when streams are added. */
  active: number;
  activeKey: string;
  printing: boolean;
  open(key: string): void;
  activate(at: number): void;
}

/** The axis of a lane: shared by the streams that are shown, or from the start of each call. */
function axes(streams: Streams, shown: number[], mode: string): (n: number) => [axis: Axis, begin: number] {
  let [first, last, longest] = [Infinity, 0, 0.001];
  for (const n of shown) {
    first = Math.min(first, streams.start(n));
    last = Math.max(last, streams.start(n) + streams.duration(n));
    longest = Math.max(longest, streams.duration(n));
  }
  const length = Math.max(0.001, last - first);
  if (mode === "fit") return (n) => [{ start: 0, length: Math.max(0.001, streams.duration(n)) }, 0];
  if (mode === "call" || (mode === "auto" && length > FAR_APART * longest)) return () => [{ start: 0, length: longest }, 0];
  return (n) => [{ start: 0, length }, streams.start(n) - first];
}

/** Whether a row has a third line: what broke the stream, and what to do about it. */
const explained = (streams: Streams, n: number): boolean =>
  Boolean(streams.text("cuts", n) || (streams.text("outcome", n) !== "completed" && (streams.text("advice", n) || streams.text("limit", n))));

export function List({ streams, shown, state, active, activeKey, printing, open, activate }: Props) {
  const [frame, width] = useWidth<HTMLDivElement>();
  const scale = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const moving = useRef(false);
  const [track, setTrack] = useState(300);
  const [view, setView] = useState<[number, number]>([0, 900]);
  const [story, setStory] = useState(420);
  const narrow = width < 640;
  const openAt = state.open ? shown.indexOf(streams.find(state.open)) : -1;

  const tops = new Float64Array(shown.length + 1);
  const [plain, more] = narrow ? [84, 44] : [46, 24];
  shown.forEach((n, at) => { tops[at + 1] = tops[at] + plain + (explained(streams, n) ? more : 0) + (at === openAt ? story : 0); });
  const total = tops[shown.length];

  useLayoutEffect(() => {
    const measure = () => {
      const top = list.current!.getBoundingClientRect().top;
      setView([-top - BEYOND, innerHeight - top + BEYOND]);
      setTrack(Math.max(60, Math.round(scale.current!.getBoundingClientRect().width)));
    };
    measure();
    addEventListener("scroll", measure, { passive: true });
    addEventListener("resize", measure);
    return () => { removeEventListener("scroll", measure); removeEventListener("resize", measure); };
  }, [width, shown, narrow]);

  const at = (y: number): number => {
    let [low, high] = [0, shown.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (tops[middle + 1] <= y) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  useLayoutEffect(() => {
    const top = () => list.current?.getBoundingClientRect().top ?? Infinity;
    lanes.topmost = () => {
      const row = at(COVERED - top());
      return top() < innerHeight / 3 && row < shown.length ? streams.text("trace", shown[row]) : undefined;
    };
    lanes.topOf = (key) => {
      const row = shown.indexOf(streams.find(key));
      return row < 0 ? undefined : top() + tops[row];
    };
  });
  const [first, last] = printing ? [0, Math.min(shown.length, MOST_ROWS)] : [at(view[0]), Math.min(shown.length, at(view[1]) + 1, at(view[0]) + MOST_ROWS)];
  const rows = Array.from({ length: Math.max(0, last - first) }, (_, n) => first + n);
  if (!printing && active >= 0 && active < shown.length && !rows.includes(active)) rows.push(active);

  // Moving by keys: the active row comes into view, and has the focus.
  useLayoutEffect(() => {
    if (active < 0 || active >= shown.length) return;
    const head = scale.current!.parentElement!.getBoundingClientRect().bottom;
    const top = list.current!.getBoundingClientRect().top + tops[active];
    if (top < head) scrollBy({ top: top - head });
    else if (top + plain > innerHeight) scrollBy({ top: top + plain - innerHeight + 8 });
    moving.current = true; // its focus must not set the active row again, which may be another one by now
    list.current!.querySelector<HTMLElement>(`[data-at="${active}"]`)?.focus({ preventScroll: true });
    moving.current = false;
  }, [activeKey]);

  const axisOf = axes(streams, shown, state.axis);
  const common = shown.length && state.axis !== "fit" ? axisOf(shown[0])[0] : null;
  return (
    <div ref={frame} class={`picture${narrow ? " narrow" : ""}`}>
      <div class="scale columns"><span /><div ref={scale} class="axis">{common && <Scale axis={common} width={track} />}</div><span /></div>
      <ol ref={list} class={printing ? "lanes printed" : "lanes"} style={{ height: printing ? "auto" : `${total}px` }} aria-label="Streams">
        {rows.map((row) => {
          const n = shown[row];
          const [axis, begin] = axisOf(n);
          const key = streams.text("trace", n);
          const opened = row === openAt;
          const [outcome, reason, limit, suspects, cuts] = ["outcome", "reason", "limit", "suspects", "cuts"].map((name) => streams.text(name, n));
          return (
            <li key={key} style={{ top: printing ? "0" : `${tops[row]}px` }} class={opened ? "opened" : ""} aria-setsize={shown.length} aria-posinset={row + 1}>
              <button type="button" class="row columns" data-at={row} tabIndex={row === Math.max(0, active) || (active < 0 && row === first) ? 0 : -1} aria-expanded={opened} aria-label={alternative(streams, n)}
                onClick={() => { activate(row); open(opened ? "" : key); }} onFocus={() => { if (!moving.current) activate(row); }}>
                <span class="title"><b>{streams.name(n)}</b><small>{below(streams, n)}</small></span>
                <Track streams={streams} n={n} axis={axis} begin={begin} width={track} />
                <span class="result"><b class={outcomeClass(outcome)}>{readable(reason || outcome)}</b><small>{times(streams, n)}</small></span>
              </button>
              {explained(streams, n) && (
                <p class="cause" onClick={(event) => { if (!getSelection()?.toString() && event.detail === 1) { activate(row); open(opened ? "" : key); } }}>
                  {(cuts || limit) && <b>{cuts || limit + (suspects && ` (${suspects})`)}</b>}
                  {streams.text("requests_ids", n) && <code>{streams.text("requests_ids", n)}</code>}
                  <span title={streams.text("advice", n)}>{streams.text("advice", n)}</span>
                </p>
              )}
              {opened && <Story streams={streams} n={n} measured={setStory} />}
            </li>
          );
        })}
      </ol>
      {printing && shown.length > last && <p>The first {last} of {plural(shown.length, "stream")}. Filters select others.</p>}
    </div>
  );
}

function below(streams: Streams, n: number): string {
  if (streams.text("note", n)) return streams.text("note", n);
  if (streams.text("title", n)) return streams.text("model", n);
  return [clock(streams.head.first + streams.start(n) * 1000), streams.text("helper", n)].filter(Boolean).join(" · ");
}

function times(streams: Streams, n: number): string {
  const ttft = streams.figure("ttft", n);
  const first = streams.text("policy", n) || (ttft !== null ? `first token ${seconds(ttft)}` : "");
  return [first, seconds(streams.duration(n))].filter(Boolean).join(" · ");
}

/** What is below an opened lane: the stream on an axis of its own, and its story in the words of `explain`. */
function Story({ streams, n, measured }: { streams: Streams; n: number; measured(height: number): void }) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [all, setAll] = useState(false);
  const lane = streams.lane(n);
  const axis = { start: 0, length: Math.max(0.001, streams.duration(n)) };
  useLayoutEffect(() => {
    const element = ref.current!.parentElement!;
    const observer = new ResizeObserver(() => measured(element.getBoundingClientRect().height));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return (
    <div class="more" role="region" aria-label={`Story of ${streams.name(n)}`}>
      <div ref={ref} class="close-up">
        <Scale axis={axis} width={width} />
        <Track streams={streams} n={n} axis={axis} begin={0} width={width} />
      </div>
      <div class="story">
        <section>
          <h3>Timeline</h3>
          <ol class="moments">{lane.story.map(([at, what, kind], m) => <li key={m} class={kind}><time>{at.toFixed(2)} s</time><span>{what}</span></li>)}</ol>
        </section>
        <section>
          {lane.sections.map(([heading, paragraphs]) => (
            <div key={heading} class={heading.toLowerCase()}><h3>{heading}</h3>{paragraphs.map((text, p) => <p key={p}>{text}</p>)}</div>
          ))}
          {lane.attempts.length > 0 && <div><h3>HTTP requests</h3><ol class="requests">{lane.attempts.map((one, m) => (
            <li key={m}>{attemptText(one)}{one.request_id && <> <code>{one.request_id}</code></>}</li>
          ))}</ol></div>}
          <button type="button" class="link" aria-expanded={all} onClick={() => setAll(!all)}>All attributes of the span</button>
        </section>
      </div>
      {all && <dl class="attributes">{lane.attributes.map(([name, value]) => [<dt>{name}</dt>, <dd>{value}</dd>])}</dl>}
    </div>
  );
}
