// Run pytest in a Python that is compiled for Node.
// Arguments: the folder of pyodide's npm package, a folder of Python packages, this repository, those of pytest.

import { createRequire } from "node:module";

const [pyodide, packages, repository, ...options] = process.argv.slice(2);
const { loadPyodide } = createRequire(`${pyodide}/`)("pyodide");
const python = await loadPyodide({
  env: { HOME: "/tmp", PYTHONDONTWRITEBYTECODE: "1", WRAPT_DISABLE_EXTENSIONS: "1" },
});
for (const [path, root] of [["/packages", packages], ["/repository", repository]]) {
  python.FS.mkdirTree(path);
  python.FS.mount(python.FS.filesystems.NODEFS, { root }, path);
}
python.globals.set("options", python.toPy(options));
let code = 1;
try {
  code = python.runPython(`
import os, sys
os.chdir("/repository")
sys.path[:0] = ["/packages", "/repository", "/repository/src"]
sys.path_importer_cache.clear()  # the folders did not exist when Python started
import pytest
int(pytest.main(list(options)))
`);
} catch (error) {
  console.error(error.message); // the stack of an error in a compiled program contains all of its source
}
process.exit(code);
