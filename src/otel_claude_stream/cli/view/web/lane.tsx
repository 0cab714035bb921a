// One stream on a time axis, drawn in pixels.
import type { JSX } from "preact";
import type { Attempt, Lane, Mark, Streams } from "./data";
import { axisText, count, readable, seconds, ticks } from "./format";
import { outcomeClass } from "./chart";

export const HEIGHT = 38;
const PADDING = 18; // pixels at the end of an axis, for the sign of an ending there
const BOX = 27; // least width of an attempt's box
const SPACE = 2; // between two boxes
const LETTER = 6.7; // width of a letter
const NEAR = 5; // pixels within which the pointer meets an event
const LABELLED = 1; // seconds
const TICKS: Record<string, [top: number, bottom: number]> = {
  structure: [13, 25], text: [10, 28], thinking: [10, 19], tool_use: [19, 28], other: [14, 24], unknown: [14, 24], ping: [29.5, 34], error: [7, 31],
};
const GAPS: Record<string, string> = {
  first: "waiting for the first token", silent: "silence", pings: "pings only", caller: "the caller was busy", seam: "waiting for the seam",
};

export interface Axis { start: number; length: number }
export interface Area { from: number; to: number; tip: string }
interface Box extends Area { text: string }

/** The position of a time on an axis of this width, within it. */
export const place = (axis: Axis, at: number, width: number): number =>
  Math.min(1, Math.max(0, (at - axis.start) / axis.length)) * (width - PADDING);

export const axisLines = (axis: Axis, width: number) => ticks(axis.start, axis.length, (width - PADDING) / 64);

export function Scale({ axis, width }: { axis: Axis; width: number }) {
  const { at, step } = axisLines(axis, width);
  return (
    <svg class="scale-lines" width={width} height={16} viewBox={`0 0 ${width} 16`} aria-hidden="true">
      {at.map((tick, n) => <text key={n} x={place(axis, tick, width)} y={12} text-anchor={n ? "middle" : "start"}>{axisText(tick, step)}</text>)}
    </svg>
  );
}

/** Move boxes apart, and narrow them, until none overlaps; one box stands for all if there is no room. */
export function apart(boxes: Box[], width: number): Box[] {
  if (boxes.length * (BOX + SPACE) - SPACE > width) {
    const tip = boxes.map((box) => box.tip).join("\n");
    boxes = [{ from: boxes[0].from, to: boxes[boxes.length - 1].to, text: `${boxes.length}×`, tip }];
  }
  const found: Box[] = [];
  for (const box of boxes) {
    const from = Math.max(box.from, found.length ? found[found.length - 1].to + SPACE : 0);
    found.push({ ...box, from, to: Math.max(from + BOX, box.to) });
  }
  let limit = width;
  for (const box of found.reverse()) {
    if (box.to > limit) [box.from, box.to] = [Math.max(0, Math.min(box.from, limit - BOX)), limit];
    limit = box.from - SPACE;
  }
  return found.reverse();
}

const streamed = (attempt: Attempt) => attempt.status !== null && attempt.status < 400;
const within = (lane: Lane, attempt: Attempt) => lane.marks.filter(([at]) => attempt.start <= at && at <= attempt.end);

export function attemptText(attempt: Attempt): string {
  const parts = [`request ${attempt.number}: ${attempt.status ?? "no response"}`];
  if (attempt.reason) parts.push(readable(attempt.reason));
  const { limit_match: limit, suspects } = attempt;
  if (limit && limit !== "none") parts.push(`consistent with ${limit}${suspects.length ? ` (${suspects.join(", ")})` : ""}`);
  parts.push(seconds(attempt.end - attempt.start));
  if (attempt.retry_after !== null) parts.push(`retry-after ${seconds(attempt.retry_after)}`);
  if (attempt.delay) parts.push(`then ${seconds(attempt.delay)} of backoff`);
  return parts.join(", ");
}

export function markText(kinds: [string, string][], [, index, characters, gap, many = 1, span = 0]: Mark): string {
  const [kind, name] = kinds[index];
  const parts = [(many > 1 ? `${count(many)} times ` : "") + (name === "content_block_delta" ? `${readable(kind)} delta` : readable(name))];
  if (characters) parts.push(`${count(characters)} characters`);
  if (span) parts.push(`within ${seconds(span)}`);
  if (gap !== null) parts.push(`after ${seconds(gap)}`);
  return parts.join(", ");
}

/** A lane in a sentence, for readers who do not see the chart. */
export function alternative(streams: Streams, n: number): string {
  const [reason, policy, cuts] = ["reason", "policy", "cuts"].map((name) => streams.text(name, n));
  const parts = [`${streams.name(n)}: ${readable(streams.text("outcome", n))}${reason ? ` (${readable(reason)})` : ""}`];
  if ((streams.figure("requests", n) ?? 1) > 1) parts.push(`${streams.figure("requests", n)} HTTP requests`);
  if (policy) parts.push(policy);
  if (cuts) parts.push(cuts);
  if (streams.figure("ttft", n) !== null) parts.push(`first token after ${seconds(streams.figure("ttft", n))}`);
  for (const [start, end, kind] of streams.lane(n).gaps) if (end - start >= LABELLED) parts.push(`${GAPS[kind]} for ${seconds(end - start)}`);
  return `${parts.join(", ")}; ${seconds(streams.duration(n))} in all.`;
}

interface Props { streams: Streams; n: number; axis: Axis; begin: number; width: number }

export function Track({ streams, n, axis, begin, width }: Props) {
  const lane = streams.lane(n);
  const duration = streams.duration(n);
  const [outcome, reason] = [streams.text("outcome", n), streams.text("reason", n)];
  const kinds = lane.kinds ?? streams.head.kinds;
  const x = (at: number) => place(axis, begin + at, width);
  const areas: Area[] = [];
  const area = (from: number, to: number, tip: string) => { areas.push({ from, to: Math.max(to, from + 3), tip }); };
  const shapes: JSX.Element[] = [];
  const rect = (kind: string, from: number, to: number, top = 10, height = 18, least = 2) =>
    shapes.push(<rect key={shapes.length} class={kind} x={from.toFixed(1)} y={top} width={Math.max(least, to - from).toFixed(1)} height={height} rx={2} />);
  const line = (kind: string, from: number, to: number, y = 19) => { if (to > from) shapes.push(<path key={shapes.length} class={kind} d={`M${from.toFixed(1)} ${y}H${to.toFixed(1)}`} />); };

  // A band for each attempt with content.
  const spans = lane.attempts.length ? lane.attempts.map((one) => ({ number: one.number, marks: within(lane, one), end: one.end })) : [{ number: 1, marks: lane.marks, end: duration }];
  for (const span of spans) {
    const first = span.marks.find(([, kind]) => !["ping", "stall"].includes(kinds[kind][0]));
    if (first) rect(span.number > 1 && lane.seams.length ? "band later" : "band", x(first[0]), x(span.end));
  }
  // Requests before the one that served, backoffs, and the wait for a response.
  const boxes: Box[] = [];
  const waits = (from: number, to: number, text: string) => { line("asked", x(from), x(to)); area(x(from), x(to), `${seconds(to - from)} ${text}`); };
  const later = (attempt: Attempt) => {
    if (lane.headers !== null && attempt.start > lane.headers)
      waits(attempt.start, within(lane, attempt)[0]?.[0] ?? attempt.end, `until the first event of request ${attempt.number}`);
  };
  const box = (attempt: Attempt) => boxes.push({ from: x(attempt.start), to: x(attempt.end), text: String(attempt.status ?? "–"), tip: attemptText(attempt) });
  lane.attempts.slice(0, -1).forEach((one, at) => {
    if (streamed(one) && within(lane, one).length) {
      later(one);
      const here = x(one.end);
      shapes.push(<path key={shapes.length} class="broken" d={`M${here} 7V31M${here - 3.5} 15.5l7 7m0 -7l-7 7`} />);
      area(here - 4, here + 4, attemptText(one));
    } else box(one);
    const following = lane.attempts[at + 1];
    line("backoff", x(one.end), x(following.start));
    area(x(one.end), x(following.start), `backoff of ${seconds(following.start - one.end)}`);
  });
  const final: Attempt = lane.attempts[lane.attempts.length - 1] ??
    { number: 1, start: 0, end: duration, status: null, reason: "", request_id: "", delay: null, retry_after: null, limit_match: "", suspects: [] };
  const status = final.status ?? lane.status;
  const refused = status !== null && status >= 400;
  if (refused) box({ ...final, status });
  else if (lane.headers !== null && final.start > lane.headers) later(final);
  else if (Math.min(lane.headers ?? duration, duration) > final.start) waits(final.start, Math.min(lane.headers ?? duration, duration), "without a response");

  for (const [start, end, kind] of lane.gaps) {
    const [from, to] = [x(start), x(end)];
    rect(`gap ${kind}`, from, to);
    const text = seconds(end - start);
    const room = text.length * LETTER + 10;
    if (end - start >= LABELLED && to - from > room + 4) {
      rect(`label ${kind}`, (from + to - room) / 2, (from + to + room) / 2, 11.5, 15);
      shapes.push(<text key={shapes.length} class={`gap-text ${kind}`} x={(from + to) / 2} y={23} text-anchor="middle">{text}</text>);
    }
    area(from, to, `${GAPS[kind]} for ${text}`);
  }
  const lines: Record<string, Set<string>> = {};
  const runs: Record<string, string> = {};
  for (const [at, index, , , many = 1, span = 0] of lane.marks) {
    const kind = kinds[index][0];
    if (!(kind in TICKS)) continue;
    const [top, bottom] = TICKS[kind];
    const from = x(at).toFixed(1);
    (lines[kind] ??= new Set()).add(`M${from} ${top}V${bottom}`);
    if (span && many > 1) runs[kind] = `${runs[kind] ?? ""}M${from} ${top}H${x(at + span).toFixed(1)}V${bottom}H${from}z`;
  }
  for (const [kind, d] of Object.entries(runs)) shapes.push(<path key={`run ${kind}`} class={`run ${kind}`} d={d} />);
  for (const kind of Object.keys(TICKS)) if (lines[kind]) shapes.push(<path key={`tick ${kind}`} class={`tick ${kind}`} d={[...lines[kind]].join("")} />);
  for (const [at, fits, tip] of lane.seams) {
    shapes.push(<path key={shapes.length} class={`seam ${fits ? "fits" : "misfits"}`} d={`M${x(at)} 6V32`} /> , <circle key={shapes.length + 1} class={`seam ${fits ? "fits" : "misfits"}`} cx={x(at)} cy={6} r={3.5} />);
    area(x(at) - 4, x(at) + 4, tip);
  }
  let behind = 0;
  const laid = apart(boxes, width - PADDING);
  for (const one of laid) {
    rect("attempt", one.from, one.to, 9, 20, BOX);
    shapes.push(<text key={shapes.length} class="attempt-text" x={(one.from + one.to) / 2} y={23} text-anchor="middle">{one.text}</text>);
    areas.push(one);
    behind = one.to + 9;
  }
  const end = Math.max(x(duration), refused ? behind : 0);
  const label = readable(reason);
  const fits = reason && end + 12 + label.length * LETTER < width;
  const show = (event: PointerEvent) => {
    const left = event.clientX - (event.currentTarget as Element).getBoundingClientRect().left;
    const at = axis.start + (left / (width - PADDING)) * axis.length - begin;
    const near = nearest(lane.marks, at);
    if (near && Math.abs(x(near[0]) - left) <= NEAR) return tooltip(event, `${near[0].toFixed(2)} s: ${markText(kinds, near)}`);
    const found = [...areas].reverse().find((one) => one.from <= left && left <= one.to);
    tooltip(event, found ? found.tip : at >= 0 ? `${at.toFixed(2)} s after the start of the call` : "");
  };
  return (
    <svg class="track" width={width} height={HEIGHT} viewBox={`0 0 ${width} ${HEIGHT}`} aria-hidden="true" onPointerMove={show} onPointerLeave={() => tooltip(null, "")}>
      <path class="grid" d={axisLines(axis, width).at.map((tick) => `M${place(axis, tick, width).toFixed(1)} 0V${HEIGHT}`).join("")} />
      {shapes}
      <Sign outcome={outcome} x={end - 8} y={11} />
      {fits && <text class={`why ${outcomeClass(outcome)}`} x={end + 12} y={23.5}>{label}</text>}
    </svg>
  );
}

export function Sign({ outcome, x, y }: { outcome: string; x?: number; y?: number }) {
  const kind = outcomeClass(outcome);
  const use = <use href={`#sign-${kind}`} width={16} height={16} x={x} y={y} class={`sign ${kind}`} />;
  return x === undefined ? <svg class="sign" width={14} height={14} viewBox="0 0 16 16" aria-hidden="true">{use}</svg> : use;
}

function nearest(marks: Mark[], at: number): Mark | undefined {
  let [low, high] = [0, marks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (marks[middle][0] < at) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [marks[low - 1], marks[low]];
  return !before || (after && after[0] - at < at - before[0]) ? after : before;
}

function tooltip(event: PointerEvent | null, text: string): void {
  const tip = document.getElementById("tip")!;
  tip.hidden = !text;
  if (!event || !text) return;
  tip.textContent = text;
  tip.style.left = `${Math.max(8, Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${event.clientY + 16 + tip.offsetHeight > innerHeight ? event.clientY - tip.offsetHeight - 10 : event.clientY + 16}px`;
}
