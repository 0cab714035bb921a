// Shows one dashboard of the folder `perses`, or a trace. The address is that of Perses: its path names the dashboard, and
// its parameters are the variables and times. `theme=dark` is a parameter of this page.
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
import { EXPLORE, Trace } from './trace.jsx';

const get = async (path) => (await fetch(path)).json();
const { prometheus, tempo, scrapeInterval, boards } = await get('/settings.json');
const board = boards.find(({ path }) => path === window.location.pathname);
const address = new URL(window.location.href);
const dashboard = board && (await readDashboard(board.file));

async function readDashboard(file) {
  const [found, grafana] = await Promise.all([get(`/perses/${file}.json`), get(`/grafana/${file}.json`)]);
  readDefaults(grafana);
  // A link to a dashboard has the pattern of a variable at *All*, because Perses inserts it. The variable shows *All* again.
  for (const { spec } of found.spec.variables) {
    const name = `var-${spec.name}`;
    if (spec.customAllValue && address.searchParams.get(name) === spec.customAllValue) address.searchParams.set(name, '$__all');
  }
  window.history.replaceState(null, '', address);
  // Without Tempo, a panel of traces has the text of a panel without data.
  for (const { spec } of tempo ? [] : Object.values(found.spec.panels)) {
    if (spec.queries?.some(({ kind }) => kind === 'TraceQuery')) {
      spec.plugin = { kind: 'Markdown', spec: { text: '*This panel queries traces in Tempo.*' } };
      delete spec.queries;
    }
  }
  return found;
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

// Perses reads the variables of the address once, so a link loads the page again. It keeps the theme. A link to a trace keeps
// the variables and times too, so that a link from there to a dashboard has them.
function kept(to) {
  const [path, search] = to.split('?');
  const parameters = new URLSearchParams(search);
  for (const [name, value] of new URLSearchParams(window.location.search)) {
    if (!parameters.has(name) && (path === EXPLORE ? name !== 'data' : name === 'theme')) parameters.set(name, value);
  }
  return `${path}?${parameters}`;
}
const Link = ({ to, ...others }) => <a href={to} {...others} />;

// Perses renders the links of panels itself. They too read the address when they are followed.
for (const kind of ['click', 'auxclick']) {
  document.addEventListener(kind, ({ target }) => {
    const link = target.closest?.('a[href^="/"]:not(nav a)');
    if (link) link.href = kept(link.getAttribute('href'));
  }, true);
}

// The links read the address when they are followed, because variables change it.
function follow(event, path, changes = {}) {
  event.preventDefault();
  const parameters = new URLSearchParams(window.location.search);
  if (path !== window.location.pathname) for (const name of ['explorer', 'data']) parameters.delete(name);
  for (const [name, value] of Object.entries(changes)) parameters.set(name, value);
  window.location.assign(`${path}?${parameters}`);
}

function Boards() {
  const other = mode === 'dark' ? 'light' : 'dark';
  return (
    <nav className="boards" aria-label="Dashboards">
      {boards.map(({ path, title }) => (
        <a key={path} href={path} aria-current={path === board?.path ? 'page' : undefined} onClick={(event) => follow(event, path)}>
          {title}
        </a>
      ))}
      <a href={address.pathname} onClick={(event) => follow(event, address.pathname, { theme: other })}>{other}</a>
    </nav>
  );
}

const view = dashboard ? (
  <ViewDashboard
    dashboardResource={dashboard}
    datasourceApi={datasourceApi}
    dashboardTitleComponent={<Boards />}
    isReadonly
    isVariableEnabled
    isDatasourceEnabled
  />
) : (
  <Trace address={address} datasourceApi={datasourceApi}>
    <Boards />
  </Trace>
);

document.title = dashboard?.spec.display.name ?? 'Trace';
createRoot(document.getElementById('root')).render(
  <BrowserRouter>
    <QueryParamProvider adapter={ReactRouter6Adapter} options={{ updateType: 'replaceIn' }}>
      <RouterProvider RouterComponent={Link} navigate={(to) => window.location.assign(kept(to))}>
        <QueryClientProvider client={queryClient}>
          <ThemeProvider theme={theme}>
            <CssBaseline />
            <ChartsProvider chartsTheme={chartsTheme} enablePinning={false}>
              <SnackbarProvider anchorOrigin={{ vertical: 'bottom', horizontal: 'right' }}>
                <PluginRegistry
                  pluginLoader={pluginLoader}
                  defaultPluginKinds={{ Panel: 'TimeSeriesChart', TimeSeriesQuery: 'PrometheusTimeSeriesQuery' }}
                >
                  <ValidationProvider>{view}</ValidationProvider>
                </PluginRegistry>
              </SnackbarProvider>
            </ChartsProvider>
          </ThemeProvider>
        </QueryClientProvider>
      </RouterProvider>
    </QueryParamProvider>
  </BrowserRouter>
);
