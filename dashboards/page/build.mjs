// Builds the page from src/ into the folder web/.
import { copyFile } from 'node:fs/promises';
import { build } from 'esbuild';

// Perses loads plugins by module federation, which brings a second copy of all libraries. The page imports its plugins.
const withoutFederation = {
  name: 'without-federation',
  setup({ onLoad }) {
    onLoad({ filter: /plugin-system[\\/]dist[\\/]remote[\\/]PluginRuntime\.js$/ }, () => ({
      contents: ['loadPlugin', 'usePluginRuntime', 'getModuleFederationInstance', 'pluginRuntime']
        .map((name) => `export const ${name} = () => { throw new Error('this page imports its plugins'); };`)
        .join('\n'),
    }));
  },
};

await build({
  entryPoints: { page: 'src/main.jsx' },
  outdir: 'web',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
  loader: { '.woff': 'file', '.woff2': 'file' },
  assetNames: 'fonts/[name]',
  legalComments: 'linked',
  plugins: [withoutFederation],
});
await copyFile('index.html', 'web/index.html');
