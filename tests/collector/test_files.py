"""Every file and every combination is valid for the real Collector, current, and fit for the stock distributions."""

from __future__ import annotations

import itertools
import json
import re
import subprocess

import pytest
import yaml
from tests.support.collector.running import FILES, GATEWAY, QUICK, Collector, eventually

AGENT = FILES / "agent.yaml"
OF_GATEWAY = tuple(
    FILES / f"{name}.yaml"
    for name in ("prometheus", "metrics-from-spans", "proxy-logs", "kafka-gateway", "to-file", "self-metrics")
)
OF_AGENT = (FILES / "kafka-agent.yaml", FILES / "self-metrics.yaml")
ALL = tuple(dict.fromkeys((GATEWAY, AGENT, *OF_GATEWAY, *OF_AGENT)))
SECTIONS = ("receivers", "processors", "connectors", "exporters", "extensions")
ONLY_CONTRIB = {"prometheus", "kafka"}
"""Component ids that the distribution `k8s` has not."""


def combinations():
    """A base alone and with every set of its overlays."""
    for base, overlays in ((GATEWAY, OF_GATEWAY), (AGENT, OF_AGENT)):
        for count in range(len(overlays) + 1):
            for chosen in itertools.combinations(overlays, count):
                yield (base, *chosen)


def stems(files):
    return "+".join(file.stem for file in files)


def loaded(file):
    return yaml.safe_load(file.read_text())


def ids(file):
    """The component ids that a file declares, by section, without their names."""
    return {(section, name.partition("/")[0]) for section in SECTIONS for name in loaded(file).get(section, {})}


def validate(otelcol, files, **settings):
    """Exit code and words of `otelcol validate`."""
    arguments = [argument for file in files for argument in ("--config", str(file))]
    done = subprocess.run(
        [otelcol, "validate", *arguments], capture_output=True, text=True, env=settings, timeout=60, check=False
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("files", list(combinations()), ids=stems)
def test_valid(otelcol, files, tmp_path):
    """With no variable set at all but the folder, whose default needs root to be made."""
    assert validate(otelcol, files, OTELCOL_STATE_DIR=str(tmp_path)) == (0, "")


def test_validation_can_fail(otelcol, tmp_path):
    """A key that does not exist is found: what the test above says is worth something."""
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("processors:\n  tail_sampling:\n    decision_weight: 3s\n")
    code, said = validate(otelcol, (GATEWAY, wrong), OTELCOL_STATE_DIR=str(tmp_path))
    assert code == 1
    assert "decision_weight" in said


def test_overlays_add_and_replace_nothing():
    """No pipeline, no component of a base is in an overlay of the gateway: all of them combine in any order."""
    base = loaded(GATEWAY)
    seen = {section: set(base.get(section, {})) for section in SECTIONS}
    pipelines = set(base["service"]["pipelines"])
    for file in OF_GATEWAY:
        overlay = loaded(file)
        assert set(overlay) <= {*SECTIONS, "service"}
        # Its own metrics have one way out: that is replaced.
        assert set(overlay["service"]) == ({"telemetry"} if file.stem == "self-metrics" else {"pipelines"})
        for section in SECTIONS:
            assert not seen[section] & set(overlay.get(section, {}))
            seen[section] |= set(overlay.get(section, {}))
        assert not pipelines & set(overlay["service"].get("pipelines", ()))
        pipelines |= set(overlay["service"].get("pipelines", ()))


def components(otelcol, build):
    """What the sources of each component say of it; kept beside a binary that was built here."""
    about = otelcol.with_name("components.json")
    if not about.exists():
        pytest.skip("the Collector was not built here: what its components' sources say is not at hand")
    return json.loads(about.read_text())


def test_ids_are_current_and_in_the_stock_distributions(otelcol, build):
    """By the metadata of each component at the pinned release: all in `contrib`; bases and most overlays in `k8s`."""
    about = components(otelcol, build)
    kinds = {"extension": "extensions", "receiver": "receivers", "processor": "processors"}
    kinds |= {"connector": "connectors", "exporter": "exporters"}
    known = {}
    for module, facts in about.items():
        (kind,) = (kind for kind in kinds if f"/{kind}/" in module)
        known[kinds[kind], facts["type"]] = set(facts["distributions"])
    for file in ALL:
        for component in ids(file):
            assert component in known, f"{file.name}: {component} is no id of a component, or an old one"
            assert "contrib" in known[component], (file.name, component)
            assert ("k8s" in known[component]) == (component[1] not in ONLY_CONTRIB), (file.name, component)
    for file in (GATEWAY, AGENT, FILES / "metrics-from-spans.yaml", FILES / "proxy-logs.yaml"):
        assert not {name for _, name in ids(file)} & ONLY_CONTRIB


def test_the_manifest_has_exactly_what_the_files_use(otelcol, build):
    """Of one release."""
    about = components(otelcol, build)
    built = {facts["type"] for facts in about.values()}
    used = {name for file in ALL for _, name in ids(file)}
    assert built - used == set()
    versions = set(build.modules(build.MANIFEST.read_text()).values())
    release = re.search(r"^  version: (\S+)$", build.MANIFEST.read_text(), re.MULTILINE)[1]
    minor = int(release.split(".")[1])
    assert versions == {release, f"1.{minor - 94}.0"}


@pytest.mark.slow
@pytest.mark.parametrize("files", [(GATEWAY, *OF_GATEWAY), (AGENT, *OF_AGENT)], ids=stems)
def test_quiet_at_the_start(otelcol, tmp_path, files):
    """Old ids and keys are warned of in the log: there is no such warning, and none else."""
    collector = Collector(otelcol, tmp_path, files, dict(QUICK))
    try:
        collector.start()
        assert eventually(lambda: "Everything is ready" in collector.said())
        lines = collector.said().splitlines()
        assert [line for line in lines if re.search("deprecat|alias", line, re.IGNORECASE)] == []
        # There is no Kafka here, no gateway and no proxy.
        expected = re.compile("kafka|no files match|lookup otel-gateway")
        warned = [line for line in lines if re.search(r"\t(warn|error)\t", line)]
        assert [line for line in warned if not expected.search(line)] == []
    finally:
        collector.kill()


def variables(file):
    """Each `${env:NAME:-default}` of a file."""
    return set(re.findall(r"\$\{env:(\w+):-([^}]*)\}", file.read_text()))


def test_every_variable_has_a_default_that_the_readme_tells():
    """And the same one in every file of a base."""
    text = "\n".join(file.read_text() for file in ALL)
    assert set(re.findall(r"\$\{env:(\w+)", text)) == {name for file in ALL for name, _ in variables(file)}
    rows = re.findall(r"^\| `(OTELCOL_\w+)` \| (.*?) \|", (FILES / "README.md").read_text(), re.MULTILINE)
    told = dict(rows)
    assert len(told) == len(rows)
    assert set(told) == {name for file in ALL for name, _ in variables(file)}
    for base, overlays in ((GATEWAY, OF_GATEWAY), (AGENT, OF_AGENT)):
        defaults = {}
        for file in (base, *overlays):
            for name, default in variables(file):
                assert defaults.setdefault(name, default) == default, (file.name, name)
                assert f"`{default}`" in told[name], (file.name, name)


def test_the_readme_tells_every_file_and_shows_what_to_paste():
    """Nothing in the folder is untold; the snippets are those of the files, without their comments."""
    readme = (FILES / "README.md").read_text()
    assert {path.name for path in FILES.iterdir() if f"`{path.name}" not in readme} - ELSEWHERE == set()
    for name in ("nginx-log-format.conf", "haproxy-log-format.cfg"):
        lines = (FILES / name).read_text().splitlines(keepends=True)
        snippet = "".join(line for line in lines if not line.startswith("#"))
        shown = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", readme, re.DOTALL)[1]
        assert shown == snippet


ELSEWHERE = {"README.md", "compose", "__pycache__"}
"""Itself, what the Compose files mount, and what running leaves."""


def test_the_readme_tells_every_verdict():
    """The reasons in the table are those that the gateway gives."""
    given = set(re.findall(r'"sampling\.keep"\], "(\w+)"', GATEWAY.read_text()))
    assert given == set(re.findall(r"^\| `(\w+)` \| ", section("What is kept of traces"), re.MULTILINE))
    policies = loaded(GATEWAY)["processors"]["tail_sampling"]["policies"]
    assert {policy["name"] for policy in policies} == {*given, "healthy"}


def section(title):
    """A part of the README."""
    return (FILES / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_listens_on_loopback_unless_told():
    """Whatever is opened by default is reachable from this machine alone."""
    for file in ALL:
        for name, default in variables(file):
            if name in LISTENS:
                assert default.partition(":")[0] == "127.0.0.1", (file.name, name)
    assert {name for file in ALL for name, _ in variables(file)} >= LISTENS


LISTENS = {
    "OTELCOL_OTLP_GRPC",
    "OTELCOL_OTLP_HTTP",
    "OTELCOL_HEALTH",
    "OTELCOL_PROMETHEUS",
    "OTELCOL_TELEMETRY_HOST",
}


def test_every_pipeline_from_outside_guards_memory_first_and_redacts():
    """Whatever a receiver takes in passes the limiter first, then redaction, before a connector or an exporter."""
    for file in (GATEWAY, *OF_GATEWAY):
        found = loaded(file)
        for name, pipeline in found["service"].get("pipelines", {}).items():
            if any(one.partition("/")[0] in ("otlp", "kafka", "file_log") for one in pipeline["receivers"]):
                assert pipeline["processors"][0] == "memory_limiter", (file.name, name)
                assert "redaction/secrets" in pipeline["processors"], (file.name, name)
    agent = loaded(AGENT)
    assert all(pipeline["processors"][0] == "memory_limiter" for pipeline in agent["service"]["pipelines"].values())
