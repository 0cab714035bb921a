// The streams of the page: columns for all of them, and details of one when its lane becomes visible.

export type Mark = [at: number, kind: number, characters: number, gap: number | null, count?: number, span?: number];
export type Gap = [start: number, end: number, kind: string];
export interface Attempt {
  number: number; start: number; end: number; status: number | null; reason: string; request_id: string;
  delay: number | null; retry_after: number | null; limit_match: string; suspects: string[];
}
export interface Lane {
  headers: number | null;
  status: number | null;
  marks: Mark[];
  gaps: Gap[];
  attempts: Attempt[];
  seams: [at: number, fits: boolean, text: string][];
  story: [at: number, what: string, kind: string][];
  sections: [heading: string, paragraphs: string[]][];
  attributes: [name: string, value: string][];
  /** Of a stream that was added; all streams of a report share one table. */
  kinds?: [kind: string, name: string][];
}
/** A stream that is added to the page while the command runs. */
export interface Row { start: number; texts: Record<string, string>; figures: Record<string, number | null>; lane: Lane }
interface Head {
  title: string; subtitle: string; notes: string[]; first: number; start: number[];
  texts: Record<string, [values: string[], places: number[]]>;
  figures: Record<string, (number | null)[]>;
  kinds: [kind: string, name: string][];
}
/** A page that follows a command has no streams of its own, but the URL of the events that bring them. */
export interface LiveHead { live: string; title: string }

const TEXTS = [
  "title", "note", "outcome", "reason", "origin", "phase", "limit", "suspects", "cuts", "advice", "model", "server", "helper",
  "service", "recovery", "policy", "trace", "requests_ids",
];
const FIGURES = ["duration", "ttft", "silence", "requests", "input", "output"];
const SEARCHED = ["title", "note", "model", "service", "server", "helper", "reason", "trace", "requests_ids", "limit", "suspects", "cuts"];

export class Streams {
  readonly count: number;
  private haystack: string[] | undefined;

  constructor(readonly head: Head, private readonly lanes: (string | Lane)[]) {
    this.count = head.start.length;
  }

  /** The streams of these rows, in the order of their start. */
  static of({ title, subtitle, notes }: { title: string; subtitle: string; notes: string[] }, rows: Row[]): Streams {
    rows.sort((one, two) => one.start - two.start || (one.texts.trace < two.texts.trace ? -1 : 1));
    const first = rows.length ? rows[0].start : 0;
    const texts: Head["texts"] = {};
    for (const name of TEXTS) {
      const known = new Map<string, number>();
      const places = rows.map(({ texts: { [name]: text } }) => known.get(text) ?? (known.set(text, known.size), known.size - 1));
      texts[name] = [[...known.keys()], places];
    }
    const figures = Object.fromEntries(FIGURES.map((name) => [name, rows.map((row) => row.figures[name])]));
    const start = rows.map((row) => (row.start - first) / 1000);
    return new Streams({ title, subtitle, notes, first, start, texts, figures, kinds: [] }, rows.map((row) => row.lane));
  }

  text(name: string, n: number): string {
    const [values, places] = this.head.texts[name];
    return values[places[n]];
  }

  figure(name: string, n: number): number | null {
    return this.head.figures[name][n];
  }

  /** Seconds from the start of the first stream. */
  start(n: number): number {
    return this.head.start[n];
  }

  duration(n: number): number {
    return this.figure("duration", n) ?? 0;
  }

  name(n: number): string {
    return this.text("title", n) || this.text("model", n);
  }

  lane(n: number): Lane {
    const found = this.lanes[n];
    return typeof found === "string" ? (this.lanes[n] = JSON.parse(found) as Lane) : found;
  }

  /** Texts of all streams in lower case, for the search. */
  get searched(): string[] {
    this.haystack ??= this.head.start.map((_, n) => {
      const text = SEARCHED.map((name) => this.text(name, n)).join("\n").toLowerCase();
      return `${text}\n${text.replaceAll("_", " ")}`;
    });
    return this.haystack;
  }

  /** The stream with this trace and span, or -1. */
  find(key: string): number {
    const [values, places] = this.head.texts.trace;
    const value = values.indexOf(key);
    return value < 0 ? -1 : places.indexOf(value);
  }
}

export async function load(encoded: string): Promise<Streams | LiveHead> {
  const bytes = Uint8Array.from(atob(encoded.trim()), (char) => char.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const lanes = (await new Response(inflated).text()).split("\n");
  const head = JSON.parse(lanes.shift()!) as Head | LiveHead;
  return "live" in head ? head : new Streams(head, lanes);
}
