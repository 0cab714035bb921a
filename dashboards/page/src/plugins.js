// The plugins of Perses, each a package of npm, with changes to their panels.
import * as bar from '@perses-dev/bar-chart-plugin';
import * as heatmap from '@perses-dev/heatmap-chart-plugin';
import * as markdown from '@perses-dev/markdown-plugin';
import { dynamicImportPluginLoader } from '@perses-dev/plugin-system';
import * as prometheus from '@perses-dev/prometheus-plugin';
import * as stat from '@perses-dev/stat-chart-plugin';
import * as table from '@perses-dev/table-plugin';
import * as tempo from '@perses-dev/tempo-plugin';
import * as timeSeries from '@perses-dev/timeseries-chart-plugin';
import * as traceTable from '@perses-dev/trace-table-plugin';
import * as gantt from '@perses-dev/tracing-gantt-chart-plugin';
import { withClassicBuckets, withOrderedBars, withText } from './panels.jsx';

const modules = [
  prometheus,
  tempo,
  markdown,
  gantt,
  { ...bar, BarChart: withOrderedBars(bar.BarChart) },
  { ...heatmap, HeatMapChart: withClassicBuckets(heatmap.HeatMapChart) },
  { ...stat, StatChart: withText(stat.StatChart) },
  { ...table, Table: withText(table.Table) },
  { ...timeSeries, TimeSeriesChart: withText(timeSeries.TimeSeriesChart) },
  { ...traceTable, TraceTable: withText(traceTable.TraceTable) },
];

export const pluginLoader = dynamicImportPluginLoader(
  modules.map((module) => ({ resource: module.getPluginModule(), importPlugin: async () => module }))
);
