// Numbers and names as text. The same rules as formatting.py.
export const DASH = "\u2013";

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 9.995) return `${value.toFixed(2)} s`;
  if (value < 119.95) return `${value.toFixed(1)} s`;
  const all = Math.round(value);
  const minutes = Math.floor(all / 60);
  const pad = (n: number) => String(n).padStart(2, "0");
  return minutes < 120 ? `${minutes} min ${pad(all % 60)} s` : `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
}

export const count = (value: number | null): string =>
  value === null ? DASH : String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export const plural = (n: number, noun: string): string => `${count(n)} ${noun}${n === 1 ? "" : "s"}`;

export const readable = (value: string): string => value.replaceAll("_", " ");

/** A point in time, in ms since the epoch, as UTC; with tenths of a second unless `step` seconds make them useless. */
export function clock(ms: number, step = 0): string {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return "";
  const text = date.toISOString();
  if (step >= 86400) return text.slice(5, 10);
  return step >= 60 ? text.slice(11, 16) : step >= 1 ? text.slice(11, 19) : text.slice(11, 21);
}

/** A point in time, in ms since the epoch, as the time of day of the reader. */
export const clockHere = (ms: number): string => new Date(ms).toTimeString().slice(0, 8);

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200];

/** Positions of axis lines from `start` on for `length` seconds, `most` of them or less, and their distance. */
export function ticks(start: number, length: number, most: number): { at: number[]; step: number } {
  const least = length / Math.max(1, most);
  let step = STEPS.find((one) => one >= least) ?? Math.ceil(least / 86400) * 86400;
  if (least < STEPS[0]) step = 10 ** Math.ceil(Math.log10(least || 1));
  const at: number[] = [];
  for (let n = Math.ceil(start / step - 1e-9); n * step <= start + length * (1 + 1e-9); n++) at.push(n * step);
  return { at, step };
}

export function axisText(at: number, step: number): string {
  if (step >= 60) return `${Math.round(at / 60)} min`;
  return step < 0.1 ? `${Math.round(at * 1e6) / 1e3} ms` : `${Math.round(at * 10) / 10} s`;
}
