// The dashboards that the generator may write, in the types that the packages of Perses publish.
import type { BarChartOptions } from '@perses-dev/bar-chart-plugin';
import type { Display, GridDefinition, Link, PanelDisplay, VariableDisplay } from '@perses-dev/core';
import type { HeatMapChartOptions } from '@perses-dev/heatmap-chart-plugin';
import type { MarkdownPanelOptions } from '@perses-dev/markdown-plugin';
import type { PrometheusLabelValuesVariableOptions, PrometheusTimeSeriesQuerySpec } from '@perses-dev/prometheus-plugin';
import type { StatChartOptions } from '@perses-dev/stat-chart-plugin';
import type { TableOptions } from '@perses-dev/table-plugin';
import type { TempoTraceQuerySpec } from '@perses-dev/tempo-plugin';
import type { TimeSeriesChartOptions } from '@perses-dev/timeseries-chart-plugin';
import type { TraceTableOptions } from '@perses-dev/trace-table-plugin';

interface Definition<Kind extends string, Spec> {
  kind: Kind;
  spec: Spec;
}

type Chart =
  | Definition<'BarChart', BarChartOptions>
  | Definition<'HeatMapChart', HeatMapChartOptions>
  | Definition<'Markdown', MarkdownPanelOptions>
  | Definition<'StatChart', StatChartOptions>
  | Definition<'Table', TableOptions>
  | Definition<'TimeSeriesChart', TimeSeriesChartOptions>
  | Definition<'TraceTable', TraceTableOptions>;

type Query =
  | Definition<'TimeSeriesQuery', { plugin: Definition<'PrometheusTimeSeriesQuery', PrometheusTimeSeriesQuerySpec> }>
  | Definition<'TraceQuery', { plugin: Definition<'TempoTraceQuery', TempoTraceQuerySpec> }>;

type Panel = Definition<'Panel', { display: PanelDisplay; plugin: Chart; queries?: Query[]; links?: Link[] }>;

type Variable = Definition<
  'ListVariable',
  {
    name: string;
    display: VariableDisplay;
    defaultValue: string[];
    allowMultiple: boolean;
    allowAllValue: boolean;
    customAllValue?: string;
    capturingRegexp?: string;
    sort: 'alphabetical-asc';
    plugin: Definition<'PrometheusLabelValuesVariable', PrometheusLabelValuesVariableOptions>;
  }
>;

export interface Dashboard {
  kind: 'Dashboard';
  metadata: { name: string; project: string };
  spec: {
    display: Display;
    duration: string;
    refreshInterval: string;
    variables: Variable[];
    layouts: GridDefinition[];
    panels: Record<string, Panel>;
  };
}
