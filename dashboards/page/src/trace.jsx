// A trace, with the panel and the query of Perses. Its address is that of the explorer of Perses, which offers queries too:
// this page has none, because the traces come from a store without TraceQL.
import { Box } from '@mui/material';
import { DatasourceStoreProvider, Panel, VariableProvider } from '@perses-dev/dashboards';
import { DataQueriesProvider, TimeRangeProvider } from '@perses-dev/plugin-system';

export const EXPLORE = '/explore';
const ALWAYS = { pastDuration: '1h' }; // a trace is found by its ID, whatever the times

const query = (id) => ({ kind: 'TraceQuery', spec: { plugin: { kind: 'TempoTraceQuery', spec: { query: id } } } });

// Perses replaces variables in links, so that their syntax must not be encoded.
function linkTo(more) {
  const data = encodeURIComponent(JSON.stringify({ queries: [query('TRACE')], ...more }));
  return `${EXPLORE}?explorer=Tempo-TempoExplorer&data=${data}`.replace('TRACE', '${traceId}').replace('SPAN', '${spanId}');
}

export function Trace({ address, datasourceApi, children }) {
  const { queries = [], spanId } = JSON.parse(address.searchParams.get('data') ?? '{}');
  const id = queries[0]?.spec.plugin.spec.query ?? '';
  const wanted = id ? [query(id)] : [];
  const links = { trace: linkTo({}), span: linkTo({ spanId: 'SPAN' }) };
  const panel = {
    kind: 'Panel',
    spec: {
      display: { name: id ? `Trace ${id}` : 'No trace is chosen' },
      plugin: { kind: 'TracingGanttChart', spec: { links, selectedSpanId: spanId, visual: { palette: { mode: 'categorical' } } } },
      queries: wanted,
    },
  };
  return (
    <DatasourceStoreProvider datasourceApi={datasourceApi}>
      <TimeRangeProvider timeRange={ALWAYS} refreshInterval="0s">
        <VariableProvider>
          <Box className="trace" sx={{ backgroundColor: 'background.default' }}>
            {children}
            <DataQueriesProvider definitions={wanted.map(({ spec }) => spec.plugin)}>
              <Panel definition={panel} />
            </DataQueriesProvider>
          </Box>
        </VariableProvider>
      </TimeRangeProvider>
    </DatasourceStoreProvider>
  );
}
