// Shows one dashboard of the folder `perses`. The address is that of Perses: its path names the dashboard, and its
// parameters are the variables and times. `theme=dark` is a parameter of this page.
import './line_height.js';
import '@fontsource/lato/400.css';
import '@fontsource/lato/700.css';
import './style.css';
import { CssBaseline, ThemeProvider } from '@mui/material';
import { ChartsProvider, generateChartsTheme, getTheme, SnackbarProvider } from '@perses-dev/components';
import { ViewDashboard } from '@perses-dev/dashboards';
import { PluginRegistry, RouterProvider, ValidationProvider } from '@perses-dev/plugin-system';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { BrowserRouter } from 'react-router-dom';
import { QueryParamProvider } from 'use-query-params';
import { ReactRouter6Adapter } from 'use-query-params/adapters/react-router-6';
import { readDefaults } from './panels.jsx';
import { pluginLoader } from './plugins.js';

const get = async (path) => (await fetch(path)).json();
const { prometheus, tempo, scrapeInterval, boards } = await get('/settings.json');
const board = boards.find(({ path }) => path === window.location.pathname);
const [dashboard, grafana] = await Promise.all([get(`/perses/${board.file}.json`), get(`/grafana/${board.file}.json`)]);
readDefaults(grafana);

// A link to a dashboard has the pattern of a variable at *All*, because Perses inserts it. The variable shows *All* again.
const address = new URL(window.location.href);
for (const { spec } of dashboard.spec.variables) {
  const name = `var-${spec.name}`;
  if (spec.customAllValue && address.searchParams.get(name) === spec.customAllValue) address.searchParams.set(name, '$__all');
}
window.history.replaceState(null, '', address);

// Without Tempo, a panel of traces has the text of a panel without data.
if (!tempo) {
  for (const { spec } of Object.values(dashboard.spec.panels)) {
    if (spec.queries?.some(({ kind }) => kind === 'TraceQuery')) {
      spec.plugin = { kind: 'Markdown', spec: { text: '*This panel queries traces in Tempo.*' } };
      delete spec.queries;
    }
  }
}

const source = (kind, directUrl, more) => ({
  kind: 'GlobalDatasource',
  metadata: { name: kind.toLowerCase() },
  spec: { default: true, plugin: { kind, spec: { directUrl, ...more } } },
});
const sources = [source('PrometheusDatasource', prometheus, { scrapeInterval }), source('TempoDatasource', tempo)];
const datasourceApi = {
  getDatasource: async () => undefined,
  getGlobalDatasource: async ({ kind }) => sources.find(({ spec }) => spec.plugin.kind === kind),
  listDatasources: async () => [],
  listGlobalDatasources: async (wanted) => sources.filter(({ spec }) => !wanted || spec.plugin.kind === wanted),
  buildProxyUrl: () => '',
};

const mode = address.searchParams.get('theme') === 'dark' ? 'dark' : 'light';
const theme = getTheme(mode);
const chartsTheme = generateChartsTheme(theme, {});
const queryClient = new QueryClient({ defaultOptions: { queries: { refetchOnWindowFocus: false, retry: 0 } } });

// Perses reads the variables of the address once, so a link loads the page again. It keeps the theme.
const themed = (to) => (mode === 'dark' && to.startsWith('/') ? `${to}${to.includes('?') ? '&' : '?'}theme=dark` : to);
const Link = ({ to, ...others }) => <a href={themed(to)} {...others} />;

// The links read the address when they are followed, because variables change it.
function follow(event, path, changes = {}) {
  event.preventDefault();
  const parameters = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(changes)) parameters.set(name, value);
  window.location.assign(`${path}?${parameters}`);
}

function Boards() {
  const other = mode === 'dark' ? 'light' : 'dark';
  return (
    <nav className="boards" aria-label="Dashboards">
      {boards.map(({ path, title }) => (
        <a key={path} href={path} aria-current={path === board.path ? 'page' : undefined} onClick={(event) => follow(event, path)}>
          {title}
        </a>
      ))}
      <a href={board.path} onClick={(event) => follow(event, board.path, { theme: other })}>{other}</a>
    </nav>
  );
}

document.title = dashboard.spec.display.name;
createRoot(document.getElementById('root')).render(
  <BrowserRouter>
    <QueryParamProvider adapter={ReactRouter6Adapter} options={{ updateType: 'replaceIn' }}>
      <RouterProvider RouterComponent={Link} navigate={(to) => window.location.assign(themed(to))}>
        <QueryClientProvider client={queryClient}>
          <ThemeProvider theme={theme}>
            <CssBaseline />
            <ChartsProvider chartsTheme={chartsTheme} enablePinning={false}>
              <SnackbarProvider anchorOrigin={{ vertical: 'bottom', horizontal: 'right' }}>
                <PluginRegistry
                  pluginLoader={pluginLoader}
                  defaultPluginKinds={{ Panel: 'TimeSeriesChart', TimeSeriesQuery: 'PrometheusTimeSeriesQuery' }}
                >
                  <ValidationProvider>
                    <ViewDashboard
                      dashboardResource={dashboard}
                      datasourceApi={datasourceApi}
                      dashboardTitleComponent={<Boards />}
                      isReadonly
                      isVariableEnabled
                      isDatasourceEnabled
                    />
                  </ValidationProvider>
                </PluginRegistry>
              </SnackbarProvider>
            </ChartsProvider>
          </ThemeProvider>
        </QueryClientProvider>
      </RouterProvider>
    </QueryParamProvider>
  </BrowserRouter>
);
