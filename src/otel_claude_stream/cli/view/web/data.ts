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
}
interface Head {
  title: string; subtitle: string; notes: string[]; first: number; start: number[];
  texts: Record<string, [values: string[], places: number[]]>;
  figures: Record<string, (number | null)[]>;
  kinds: [kind: string, name: string][];
}

const SEARCHED = ["title", "note", "model", "service", "server", "helper", "reason", "trace", "requests_ids", "limit", "suspects", "cuts"];

export class Streams {
  readonly count: number;
  private readonly lanes = new Map<number, Lane>();
  private haystack: string[] | undefined;

  constructor(readonly head: Head, private readonly lines: string[]) {
    this.count = head.start.length;
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
    let found = this.lanes.get(n);
    if (!found) this.lanes.set(n, (found = JSON.parse(this.lines[n + 1]) as Lane));
    return found;
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

export async function load(encoded: string): Promise<Streams> {
  const bytes = Uint8Array.from(atob(encoded.trim()), (char) => char.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const lines = (await new Response(inflated).text()).split("\n");
  return new Streams(JSON.parse(lines[0]) as Head, lines);
}
