"""Compose files and Kubernetes manifests match their schemas, and refer to what exists."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from tests.support.collector.configs import ALL_FILES, loaded, validate, variables
from tests.support.collector.running import FILES

COMPOSE = (FILES / "compose.yaml", FILES / "compose-split.yaml")
KUBERNETES = FILES / "kubernetes"
KUBERNETES_RELEASES = ("1.30.0", "1.34.0", "1.37.0")
COMPOSE_GO = "github.com/compose-spec/compose-go/v2@v2.16.2"
"""The library with which `docker compose` reads its files. It contains the schema."""
KNOWN = {name for file in ALL_FILES for name, _ in variables(file)}


@pytest.fixture(scope="module")
def compose_schema():
    """The schema of Compose files, from the Go module proxy. If it cannot be had, the test skips, or fails in CI."""
    tool = shutil.which("go", path=os.pathsep.join((os.environ["PATH"], "/usr/local/go/bin")))
    done = tool and subprocess.run(
        [tool, "mod", "download", "-json", COMPOSE_GO],
        capture_output=True,
        text=True,
        cwd="/",
        timeout=120,
        check=False,
    )
    if not done or done.returncode:
        reason = f"the Compose schema cannot be had: {done.stdout[-300:] + done.stderr[-300:] if done else 'no Go'}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return json.loads((Path(json.loads(done.stdout)["Dir"]) / "schema" / "compose-spec.json").read_text())


def release():
    """The release of the Collector that the tests run."""
    return re.search(r"^  version: (\S+)$", (FILES / "builder.yaml").read_text(), re.MULTILINE)[1]


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.stem)
def test_compose_files_match_the_compose_schema(file, compose_schema):
    jsonschema.validate(loaded(file), compose_schema)


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.stem)
def test_compose_files_refer_to_what_exists(file):
    """Images are pinned, ports are on loopback, and files, volumes and services exist."""
    found = loaded(file)
    services = found["services"]
    for name, service in services.items():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), (name, service["image"])
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (FILES / source).is_file(), source
            elif source.startswith("../"):
                assert source.split("/")[1] == "dashboards"
                assert not (FILES.parent / "dashboards").exists() or (FILES / source).is_dir(), source
            else:
                assert source in found["volumes"], source
    gateway = services["gateway"]
    assert gateway["image"].endswith(f":{release()}")
    settings = gateway["environment"]
    assert {name for name in settings if name.startswith("OTELCOL_")} <= KNOWN
    for name in ("TRACES", "METRICS", "LOGS"):
        assert re.match(r"http://(\w+):", settings[f"OTELCOL_{name}_ENDPOINT"])[1] in services


@pytest.mark.parametrize("file", COMPOSE, ids=lambda file: file.stem)
def test_the_collector_accepts_the_files_and_settings_of_compose(otelcol, file, tmp_path):
    gateway = loaded(file)["services"]["gateway"]
    mounted = dict(volume.split(":")[1::-1] for volume in gateway["volumes"] if volume.startswith("./"))
    configs = tuple(FILES / mounted[argument.removeprefix("--config=")] for argument in gateway["command"])
    settings = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in gateway["environment"].items()}
    assert validate(otelcol, configs, **settings, OTELCOL_STATE_DIR=str(tmp_path)) == (0, "")


def test_grafana_finds_dashboards_and_datasources():
    """The mounted folder is the one that the provider reads, and datasources point to services."""
    for file, provider in zip(COMPOSE, ("lgtm", "split"), strict=True):
        (path,) = (
            one["options"]["path"] for one in loaded(FILES / f"compose/grafana/dashboards/{provider}.yaml")["providers"]
        )
        mounts = [volume for service in loaded(file)["services"].values() for volume in service.get("volumes", ())]
        assert f"../dashboards/grafana:{path}:ro" in mounts
    services = loaded(COMPOSE[1])["services"]
    sources = loaded(FILES / "compose/grafana/datasources/split.yaml")["datasources"]
    assert {one["type"] for one in sources} == {"prometheus", "tempo", "loki"}
    assert all(re.match(r"http://(\w+):", one["url"])[1] in services for one in sources)


def manifests():
    """File name and content of each manifest."""
    return [
        (file.name, document)
        for file in sorted(KUBERNETES.glob("*.yaml"))
        if file.name != "kustomization.yaml"
        for document in yaml.safe_load_all(file.read_text())
    ]


@pytest.mark.parametrize("version", KUBERNETES_RELEASES)
def test_manifests_match_the_kubernetes_schema(version):
    """The check is strict, so an unknown key is an error."""
    for _, document in manifests():
        kubernetes_validate.validate(document, version, strict=True)


def test_an_invalid_manifest_is_rejected():
    """An unknown key makes the check above fail."""
    (wrong,) = (document for _, document in manifests() if document["kind"] == "DaemonSet")
    wrong["spec"]["template"]["spec"]["containers"][0]["port"] = 3
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES_RELEASES[-1], strict=True)


def workloads():
    """The manifests that run Collectors."""
    return [document for _, document in manifests() if document["kind"] in ("StatefulSet", "DaemonSet")]


def test_manifests_refer_to_what_exists():
    """All files are applied, selectors match labels, ports have names, and ConfigMaps are made of existing files."""
    kustomization = loaded(KUBERNETES / "kustomization.yaml")
    assert set(kustomization["resources"]) == {name for name, _ in manifests()}
    made = {one["name"]: one["files"] for one in kustomization["configMapGenerator"]}
    labels = [one["spec"]["template"]["metadata"]["labels"] for one in workloads()]
    for document in workloads():
        assert document["spec"]["selector"]["matchLabels"] == document["spec"]["template"]["metadata"]["labels"]
        pod = document["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        (config,) = (volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume)
        (argument,) = container["args"]
        (source,) = (
            entry.partition("=")[2] for entry in made[config] if entry.partition("=")[0] == Path(argument).name
        )
        assert (KUBERNETES / source).is_file()
        ports = {port["name"] for port in container["ports"]}
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in ports
        assert container["image"].endswith(f"k8s:{release()}")
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        claims = {claim["metadata"]["name"] for claim in document["spec"].get("volumeClaimTemplates", ())}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | claims
    for _, document in manifests():
        if document["kind"] == "Service":
            assert document["spec"]["selector"] in labels


def test_the_collector_accepts_the_settings_of_each_workload(otelcol, tmp_path):
    """Each variable is one that the configuration reads."""
    for document in workloads():
        (container,) = document["spec"]["template"]["spec"]["containers"]
        environment = {one["name"]: one.get("value", "") for one in container["env"]}
        assert {name for name in environment if name.startswith("OTELCOL_")} <= KNOWN
        settings = {name: value.replace("$(POD_IP)", "10.0.0.1") for name, value in environment.items()}
        config = FILES / Path(container["args"][0]).name
        assert validate(otelcol, (config,), **settings, OTELCOL_STATE_DIR=str(tmp_path)) == (0, "")


def test_go_collects_garbage_before_the_limiter_refuses():
    """The limiter refuses at 65 % of the container's memory, or at 80 % of a configured ceiling."""
    limiter = loaded(FILES / "gateway.yaml")["processors"]["memory_limiter"]
    assert limiter == loaded(FILES / "agent.yaml")["processors"]["memory_limiter"]
    assert (limiter["limit_percentage"], limiter["spike_limit_percentage"]) == (80, 15)
    for document in workloads():
        (container,) = document["spec"]["template"]["spec"]["containers"]
        (soft,) = (one["value"] for one in container["env"] if one["name"] == "GOMEMLIMIT")
        hard = container["resources"]["limits"]["memory"]
        hard = int(hard[:-2]) * {"Mi": 1, "Gi": 1024}[hard[-2:]]
        assert int(soft.removesuffix("MiB")) == round(0.6 * hard)
    for file in COMPOSE:
        gateway = loaded(file)["services"]["gateway"]
        ceiling = int(gateway["environment"]["OTELCOL_MEMORY_MIB"])
        hard = int(gateway["mem_limit"][:-1]) * {"m": 1, "g": 1024}[gateway["mem_limit"][-1]]
        assert gateway["environment"]["GOMEMLIMIT"] == f"{ceiling * 3 // 4}MiB"
        assert 0.75 * hard < ceiling < 0.85 * hard
