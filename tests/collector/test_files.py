"""Every combination of files is valid for the real Collector, up to date, and fit for the stock distributions."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from tests.support.collector.configs import (
    AGENT,
    AGENT_OVERLAYS,
    ALL_FILES,
    GATEWAY_OVERLAYS,
    loaded,
    validate,
    variables,
)
from tests.support.collector.running import FILES, GATEWAY, QUICK, Collector, eventually

SECTIONS = ("receivers", "processors", "connectors", "exporters", "extensions")
ONLY_CONTRIB = {"prometheus", "kafka", "signal_to_metrics"}
"""Types of components that the distribution `k8s` lacks."""


def combinations():
    """Each base alone, and with every set of its overlays."""
    for base, overlays in ((GATEWAY, GATEWAY_OVERLAYS), (AGENT, AGENT_OVERLAYS)):
        for count in range(len(overlays) + 1):
            for chosen in itertools.combinations(overlays, count):
                yield (base, *chosen)


def stems(files):
    """Name a combination in the report of the tests."""
    return "+".join(file.stem for file in files)


def component_types(file):
    """The section and type of each component that a file declares."""
    return {(section, name.partition("/")[0]) for section in SECTIONS for name in loaded(file).get(section, {})}


@pytest.mark.parametrize("files", list(combinations()), ids=stems)
def test_every_combination_of_files_is_valid(otelcol, files, tmp_path):
    """No variable is set except the state folder, whose default needs root, and a token that has none."""
    assert validate(otelcol, files, OTELCOL_STATE_DIR=str(tmp_path), OTELCOL_API_TOKEN="token") == (0, "")


def test_an_unknown_key_is_invalid(otelcol, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("processors:\n  tail_sampling:\n    decision_weight: 3s\n")
    code, output = validate(otelcol, (GATEWAY, wrong), OTELCOL_STATE_DIR=str(tmp_path))
    assert code == 1
    assert "decision_weight" in output


def test_overlays_of_the_gateway_add_components_and_replace_none():
    """So they combine in any order."""
    base = loaded(GATEWAY)
    seen = {section: set(base.get(section, {})) for section in SECTIONS}
    pipelines = set(base["service"]["pipelines"])
    for file in GATEWAY_OVERLAYS:
        overlay = loaded(file)
        assert set(overlay) <= {*SECTIONS, "service"}
        # One replaces the way out of the Collector's own metrics, one the list of extensions, which cannot be extended.
        other = {"self-metrics": {"telemetry"}, "api-spans": {"pipelines", "extensions", "telemetry"}}
        assert set(overlay["service"]) == other.get(file.stem, {"pipelines"})
        own = {"self-metrics": {"readers"}, "api-spans": {"level", "views"}}
        assert set(overlay["service"].get("telemetry", {}).get("metrics", ())) == own.get(file.stem, set())
        for section in SECTIONS:
            assert not seen[section] & set(overlay.get(section, {}))
            seen[section] |= set(overlay.get(section, {}))
        assert not pipelines & set(overlay["service"].get("pipelines", ()))
        pipelines |= set(overlay["service"].get("pipelines", ()))


def component_facts(otelcol):
    """The metadata of each component, which `build.py` writes beside a binary that it builds."""
    facts = otelcol.with_name("components.json")
    if not facts.exists():
        pytest.skip("the Collector was not built here, so the metadata of its components is missing")
    return json.loads(facts.read_text())


def test_component_ids_are_current_and_in_the_stock_distributions(otelcol):
    """`contrib` has all of them, and `k8s` those of the bases and of most overlays."""
    about = component_facts(otelcol)
    kinds = {"extension": "extensions", "receiver": "receivers", "processor": "processors"}
    kinds |= {"connector": "connectors", "exporter": "exporters"}
    known = {}
    for module, facts in about.items():
        (kind,) = (kind for kind in kinds if f"/{kind}/" in module)
        known[kinds[kind], facts["type"]] = set(facts["distributions"])
    for file in ALL_FILES:
        for component in component_types(file):
            assert component in known, f"{file.name}: {component} is not the current id of a component"
            assert "contrib" in known[component], (file.name, component)
            assert ("k8s" in known[component]) == (component[1] not in ONLY_CONTRIB), (file.name, component)
    for file in (
        GATEWAY,
        AGENT,
        *(FILES / f"{name}.yaml" for name in ("metrics-from-spans", "proxy-logs", "api-spans")),
    ):
        assert not {name for _, name in component_types(file)} & ONLY_CONTRIB


def test_the_manifest_has_exactly_the_components_that_the_files_use(otelcol, build):
    """All of them are of one release."""
    about = component_facts(otelcol)
    built = {facts["type"] for facts in about.values()}
    used = {name for file in ALL_FILES for _, name in component_types(file)}
    assert built - used == set()
    versions = set(build.modules(build.MANIFEST.read_text()).values())
    release = re.search(r"^  version: (\S+)$", build.MANIFEST.read_text(), re.MULTILINE)[1]
    minor = int(release.split(".")[1])
    assert versions == {release, f"1.{minor - 94}.0"}


@pytest.mark.slow
@pytest.mark.parametrize("files", [(GATEWAY, *GATEWAY_OVERLAYS), (AGENT, *AGENT_OVERLAYS)], ids=stems)
def test_the_start_logs_no_warnings(otelcol, tmp_path, files):
    """The Collector would warn of old ids and keys."""
    collector = Collector(otelcol, tmp_path, files, dict(QUICK))
    try:
        collector.start()
        assert eventually(lambda: "Everything is ready" in collector.output())
        lines = collector.output().splitlines()
        assert [line for line in lines if re.search("deprecat|alias", line, re.IGNORECASE)] == []
        # Kafka, a gateway and proxies are missing here.
        expected = re.compile("kafka|no files match|lookup otel-gateway")
        warned = [line for line in lines if re.search(r"\t(warn|error)\t", line)]
        assert [line for line in warned if not expected.search(line)] == []
    finally:
        collector.kill()


def test_the_readme_lists_every_variable_with_its_default():
    """A variable has one default in all files of a base."""
    text = "\n".join(file.read_text() for file in ALL_FILES)
    assert set(re.findall(r"\$\{env:(\w+)", text)) == {name for file in ALL_FILES for name, _ in variables(file)}
    rows = re.findall(r"^\| `(OTELCOL_\w+)` \| (.*?) \|", (FILES / "README.md").read_text(), re.MULTILINE)
    listed = dict(rows)
    assert len(listed) == len(rows)
    assert set(listed) == {name for file in ALL_FILES for name, _ in variables(file)}
    for base, overlays in ((GATEWAY, GATEWAY_OVERLAYS), (AGENT, AGENT_OVERLAYS)):
        defaults = {}
        for file in (base, *overlays):
            for name, default in variables(file):
                assert defaults.setdefault(name, default) == default, (file.name, name)
                assert f"`{default}`" in listed[name], (file.name, name)


def test_the_readme_lists_every_file_and_shows_the_log_formats():
    """The log formats are shown without the comments of their files."""
    readme = (FILES / "README.md").read_text()
    assert {path.name for path in FILES.iterdir() if f"`{path.name}" not in readme} - NOT_LISTED == set()
    for name in ("nginx-log-format.conf", "haproxy-log-format.cfg"):
        lines = (FILES / name).read_text().splitlines(keepends=True)
        snippet = "".join(line for line in lines if not line.startswith("#"))
        shown = re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```", readme, re.DOTALL)[1]
        assert shown == snippet


NOT_LISTED = {"README.md", "compose", "__pycache__"}
"""The page itself, the folder that the Compose files mount, and caches."""


def test_the_readme_lists_every_sampling_verdict():
    """The table has the verdicts that the gateway sets."""
    verdicts = set(re.findall(r'"sampling\.keep"\], "(\w+)"', GATEWAY.read_text()))
    assert verdicts == set(re.findall(r"^\| `(\w+)` \| ", section("Which traces are kept"), re.MULTILINE))
    policies = loaded(GATEWAY)["processors"]["tail_sampling"]["policies"]
    assert {policy["name"] for policy in policies} == {*verdicts, "healthy"}


def section(title):
    """The text of one section of the README."""
    return (FILES / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_listeners_are_on_loopback_by_default():
    for file in ALL_FILES:
        for name, default in variables(file):
            if name in LISTENS:
                assert default.partition(":")[0] == "127.0.0.1", (file.name, name)
    assert {name for file in ALL_FILES for name, _ in variables(file)} >= LISTENS


LISTENS = {
    "OTELCOL_OTLP_GRPC",
    "OTELCOL_OTLP_HTTP",
    "OTELCOL_HEALTH",
    "OTELCOL_PROMETHEUS",
    "OTELCOL_TELEMETRY_HOST",
    "OTELCOL_API_SPANS",
}


def test_every_receiving_pipeline_limits_memory_first_and_redacts():
    """Received telemetry passes the limiter, then redaction, before a connector or an exporter."""
    for file in (GATEWAY, *GATEWAY_OVERLAYS):
        found = loaded(file)
        for name, pipeline in found["service"].get("pipelines", {}).items():
            if any(one.partition("/")[0] in ("otlp", "kafka", "file_log") for one in pipeline["receivers"]):
                assert pipeline["processors"][0] == "memory_limiter", (file.name, name)
                assert {"redaction/secrets", "redaction/api"} & set(pipeline["processors"]), (file.name, name)
    receiving = [one for one in loaded(AGENT)["service"]["pipelines"].values() if one["receivers"] == ["otlp"]]
    assert len(receiving) == 3
    assert all(pipeline["processors"][0] == "memory_limiter" for pipeline in receiving)
