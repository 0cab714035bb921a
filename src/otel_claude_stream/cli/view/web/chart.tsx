// The overview over time: streams by outcome, and failures by reason. A drag zooms to a part of it.
import { useRef, useState } from "preact/hooks";
import type { Streams } from "./data";
import { axisText, clock, count, plural, readable, seconds, ticks } from "./format";
import { useWidth } from "./hooks";
import type { State } from "./state";

const MOST_REASONS = 6;
const OUTCOMES = ["failed", "closed", "unknown", "completed"];
const [LEFT, HEIGHT, SPACE, AXIS] = [34, 54, 22, 18];

/** The most frequent reasons of failures, which have a colour of their own, in order. */
export function reasonsOf(streams: Streams): string[] {
  const found = new Map<string, number>();
  for (let n = 0; n < streams.count; n++) {
    const reason = streams.text("reason", n);
    if (reason && streams.text("outcome", n) === "failed") found.set(reason, (found.get(reason) ?? 0) + 1);
  }
  return [...found].sort((one, two) => two[1] - one[1]).slice(0, MOST_REASONS).map(([reason]) => reason);
}

export const reasonClass = (reasons: string[], reason: string): string => {
  const at = reasons.indexOf(reason);
  return `reason-${at < 0 ? "other" : at}`;
};

export const outcomeClass = (outcome: string): string => (OUTCOMES.includes(outcome) ? outcome : "unknown");

interface Props { streams: Streams; charted: number[]; reasons: string[]; state: State; zoom(from: number | null, to: number | null): void }

export function Chart({ streams, charted, reasons, state, zoom }: Props) {
  const [ref, width] = useWidth<HTMLDivElement>();
  const [drag, setDrag] = useState<[number, number] | null>(null);
  const [hover, setHover] = useState<number | null>(null);
  const begun = useRef<number | null>(null);
  const last = Math.max(streams.start(streams.count - 1), 0.001);
  const [from, to] = state.from !== null ? [state.from, state.to!] : [0, last * 1.0001];
  const inner = Math.max(60, width - LEFT);
  const bins = Math.max(10, Math.min(160, Math.floor(inner / 9)));
  const bin = (to - from) / bins;
  const byOutcome = OUTCOMES.map(() => new Array<number>(bins).fill(0));
  const byReason = [...reasons, ""].map(() => new Array<number>(bins).fill(0));
  for (const n of charted) {
    const at = Math.floor((streams.start(n) - from) / bin);
    if (at < 0 || at >= bins) continue;
    const outcome = outcomeClass(streams.text("outcome", n));
    byOutcome[OUTCOMES.indexOf(outcome)][at]++;
    if (outcome === "failed") {
      const reason = reasons.indexOf(streams.text("reason", n));
      byReason[reason < 0 ? reasons.length : reason][at]++;
    }
  }
  const x = (n: number) => LEFT + (n / bins) * inner;
  const at = (event: PointerEvent) => {
    const box = (event.currentTarget as Element).getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left - LEFT) / inner));
  };
  const finish = (event: PointerEvent) => {
    if (begun.current === null) return;
    const [low, high] = [Math.min(begun.current, at(event)), Math.max(begun.current, at(event))];
    begun.current = null;
    setDrag(null);
    if ((high - low) * inner > 6) zoom(from + low * (to - from), from + high * (to - from));
  };
  const key = (event: KeyboardEvent) => {
    const length = to - from;
    const move = (low: number, high: number) => {
      const [a, b] = [Math.max(0, low), Math.min(last * 1.0001, high)];
      if (a <= 0 && b >= last) zoom(null, null);
      else if (b - a > 0) zoom(a, b);
    };
    const actions: Record<string, () => void> = {
      "+": () => move(from + length / 4, to - length / 4), "=": () => move(from + length / 4, to - length / 4),
      "-": () => move(from - length / 2, to + length / 2),
      ArrowLeft: () => { const by = Math.min(from, length / 4); move(from - by, to - by); },
      ArrowRight: () => { const by = Math.min(last * 1.0001 - to, length / 4); move(from + by, to + by); },
      Home: () => zoom(null, null),
    };
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    action();
  };
  const rows = [
    { title: "Streams", stacks: byOutcome, names: OUTCOMES, kinds: OUTCOMES },
    { title: "Failures by reason", stacks: byReason, names: [...reasons.map(readable), "other reasons"], kinds: [...reasons.map((_, n) => `reason-${n}`), "reason-other"] },
  ].filter((row, n) => n === 0 || row.stacks.some((stack) => stack.some(Boolean)));
  const height = rows.length * (HEIGHT + SPACE) + AXIS;
  const lines = ticks(state.from === null && last < 120 ? from : from + streams.head.first / 1000, to - from, inner / 90);
  const label = (tick: number) => (last < 120 ? axisText(tick, lines.step) : clock(tick * 1000, lines.step));
  const offset = last < 120 ? 0 : streams.head.first / 1000;
  if (last < 120) lines.at = ticks(from, to - from, inner / 90).at;
  const inBin = (n: number) => rows.flatMap((row) => row.names.map((name, r): [string, number] => [name, row.stacks[r][n]])).filter(([, found]) => found);
  const failures = byReason.flat().reduce((sum, n) => sum + n, 0);
  const total = byOutcome.flat().reduce((sum, n) => sum + n, 0);
  return (
    <section class="chart" aria-labelledby="chart-title">
      <h2 id="chart-title">Over time</h2>
      {state.from !== null && <button type="button" class="link out" onClick={() => zoom(null, null)}>Whole time</button>}
      <div class="plot" tabIndex={0} role="group" onKeyDown={key}
        aria-label={`Streams over time: ${plural(total, "stream")}, ${plural(failures, "failure")} within ${seconds(to - from)}. Plus and minus zoom, arrows move, Home shows the whole time.`}>
        <div ref={ref}><svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true"
          onPointerDown={(event) => {
            if (event.button) return;
            begun.current = at(event);
            (event.currentTarget as Element).setPointerCapture(event.pointerId);
          }}
          onPointerMove={(event) => {
            const here = at(event);
            setHover(Math.min(bins - 1, Math.floor(here * bins)));
            if (begun.current !== null) setDrag([Math.min(begun.current, here), Math.max(begun.current, here)]);
          }}
          onPointerUp={finish} onPointerCancel={() => { begun.current = null; setDrag(null); }} onPointerLeave={() => setHover(null)}>
          {lines.at.map((tick) => {
            const left = LEFT + ((tick - offset - from) / (to - from)) * inner;
            return <g key={tick}><path class="grid" d={`M${left} 14V${height - AXIS}`} /><text x={left} y={height - 4} text-anchor={left > width - 40 ? "end" : left < LEFT + 20 ? "start" : "middle"}>{label(tick)}</text></g>;
          })}
          {rows.map((row, r) => {
            const base = (r + 1) * (HEIGHT + SPACE);
            const sums = Array.from({ length: bins }, (_, n) => row.stacks.reduce((sum, stack) => sum + stack[n], 0));
            const most = Math.max(1, ...sums);
            const filled = new Array<number>(bins).fill(0);
            return (
              <g key={row.title}>
                <text class="name" x={LEFT} y={base - HEIGHT - 5}>{row.title}</text>
                <text x={LEFT - 6} y={base - HEIGHT + 9} text-anchor="end">{count(most)}</text>
                <path class="base" d={`M${LEFT} ${base}H${width}`} />
                {row.stacks.map((stack, s) => {
                  const d = stack.map((n, b) => {
                    if (!n) return "";
                    const bottom = base - (filled[b] / most) * HEIGHT;
                    const top = base - ((filled[b] += n) / most) * HEIGHT;
                    return `M${x(b).toFixed(1)} ${bottom.toFixed(1)}V${top.toFixed(1)}H${Math.max(x(b) + 1, x(b + 1) - 1.5).toFixed(1)}V${bottom.toFixed(1)}z`;
                  }).join("");
                  return d && <path key={s} class={`bars ${row.kinds[s]}`} d={d} />;
                })}
              </g>
            );
          })}
          {hover !== null && !drag && <rect class="hovered" x={x(hover)} y={14} width={inner / bins} height={height - AXIS - 14} />}
          {drag && <rect class="brush" x={LEFT + drag[0] * inner} y={14} width={(drag[1] - drag[0]) * inner} height={height - AXIS - 14} />}
        </svg></div>
        {hover !== null && !drag && (
          <div class="tip" style={{ left: `${Math.min(Math.max(0, x(hover) - 60), Math.max(0, width - 200))}px`, top: `${height + 14}px` }}>
            {last < 120 ? seconds(from + hover * bin) : clock(streams.head.first + (from + hover * bin) * 1000, bin)}
            {inBin(hover).map(([name, n]) => <div key={name}>{count(n)} {name}</div>)}
          </div>
        )}
      </div>
    </section>
  );
}
