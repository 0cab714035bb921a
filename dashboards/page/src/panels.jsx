// What the panels of Perses lack: the text of a panel without data, bars in the order of the queries with colours by
// threshold, and heat maps of classic histograms. Texts and thresholds come from the dashboards for Grafana.
import { useTheme } from '@mui/material';
import { EChart, useChartsTheme } from '@perses-dev/components';
import { formatValue } from '@perses-dev/core';
import { useMemo } from 'react';
import { nativeHistogram } from './buckets.js';

const LEVELS = { green: '#3c9a40', orange: '#d07c00', red: '#e03c3c' };
let defaults = new Map();

// Remember the defaults of the fields of the panels in a dashboard for Grafana.
export function readDefaults(grafana) {
  defaults = new Map(grafana.panels.map((panel) => [panel.title, panel.fieldConfig?.defaults ?? {}]));
}

const defaultsOf = (definition) => defaults.get(definition?.spec.display.name) ?? {};

function NoData({ text }) {
  return <div className="no-data" style={{ display: 'grid', placeItems: 'center', height: '100%', opacity: 0.65 }}>{text}</div>;
}

export function withText(plugin) {
  const { PanelComponent } = plugin;
  function Panel(props) {
    const { queryResults, definition } = props;
    const empty = queryResults.length > 0 && queryResults.every(({ data }) => !(data.series ?? data.searchResult)?.length);
    return empty ? <NoData text={defaultsOf(definition).noValue ?? 'no data'} /> : <PanelComponent {...props} />;
  }
  return { ...plugin, PanelComponent: Panel };
}

export function withClassicBuckets(plugin) {
  const { PanelComponent } = withText(plugin);
  function HeatMap({ queryResults, ...props }) {
    // A panel has one query. Without the memory, each rendering would draw thousands of cells again.
    const [query] = queryResults;
    const converted = useMemo(() => [{ ...query, data: nativeHistogram(query.data) }], [query?.data]);
    return <PanelComponent {...props} queryResults={converted} />;
  }
  return { ...plugin, PanelComponent: HeatMap };
}

function levelOf(steps, value) {
  return steps.filter((step) => step.value === null || value >= step.value).at(-1)?.color;
}

function Bars({ spec, definition, queryResults, contentDimensions }) {
  const theme = useChartsTheme();
  const { palette } = useTheme();
  if (!contentDimensions) return null;
  const { thresholds } = defaultsOf(definition);
  const row = (series) => {
    const value = series.values.at(-1)?.[1] ?? 0;
    return { name: series.formattedName, value, text: formatValue(value, spec.format) };
  };
  // The series of one query come in any order.
  const rows = queryResults.flatMap(({ data }) => data.series.map(row).sort((one, other) => other.value - one.value));
  const style = (value) => ({ color: LEVELS[levelOf(thresholds?.steps ?? [], value)] ?? palette.text.secondary });
  const { width, height } = contentDimensions;
  const labels = Math.round(width * 0.46);
  const option = {
    grid: { left: labels + 12, right: 64, top: 4, bottom: 4, containLabel: false },
    xAxis: { type: 'value', min: 0, show: false },
    yAxis: {
      type: 'category', inverse: true, data: rows.map(({ name }) => name), axisTick: { show: false }, axisLine: { show: false },
      axisLabel: { width: labels, overflow: 'break', interval: 0, fontSize: 11, lineHeight: 12, color: palette.text.primary },
    },
    series: {
      type: 'bar', barWidth: '62%', barMaxWidth: 28, showBackground: true, backgroundStyle: { color: palette.action.hover },
      data: rows.map(({ value }) => ({ value, itemStyle: style(value), label: style(value) })),
      label: { show: true, position: 'right', formatter: ({ dataIndex }) => rows[dataIndex].text },
    },
    tooltip: { confine: true, formatter: ({ dataIndex }) => `${rows[dataIndex].name}: ${rows[dataIndex].text}` },
    animation: false,
  };
  return (
    <div role="img" aria-label={rows.map(({ name, text }) => `${name}: ${text}`).join('; ')}>
      <EChart style={{ width, height }} option={option} theme={theme.echartsTheme} />
    </div>
  );
}

export const withOrderedBars = (plugin) => withText({ ...plugin, PanelComponent: Bars });
