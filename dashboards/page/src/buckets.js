// Converts the cumulative buckets of a classic histogram to those of a native one, which is all that the heat map draws.
const bound = (text) => (text === '+Inf' ? Infinity : Number(text));

export function nativeHistogram(data) {
  const found = new Map();
  for (const { labels, values } of data.series) {
    for (const [time, value] of values) {
      if (!found.has(time)) found.set(time, []);
      found.get(time).push([bound(labels?.le), value ?? 0]);
    }
  }
  const histograms = [...found].sort(([a], [b]) => a - b).map(([time, buckets]) => {
    let below = 0;
    let low = 0;
    const counts = [];
    for (const [high, cumulative] of buckets.sort(([a], [b]) => a - b)) {
      if (Number.isFinite(high) && cumulative - below > 1e-9) counts.push([0, `${low}`, `${high}`, `${cumulative - below}`]);
      below = Math.max(below, cumulative);
      low = high;
    }
    return [time / 1000, { count: `${below}`, sum: '0', buckets: counts }];
  });
  if (!histograms.some(([, { buckets }]) => buckets.length)) return { ...data, series: [] };
  const values = histograms.map(([time, { count }]) => [time * 1000, Number(count)]);
  return { ...data, series: [{ name: 'buckets', formattedName: 'buckets', labels: {}, values, histograms }] };
}
