"""The examples are valid, and the image for the operator works, tested with a folder of the same layout."""

from __future__ import annotations

import os
import re
import shutil
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from tests.support.activation.harness import app, assert_one_stream, run

import otel_claude_stream
from otel_claude_stream._config import SETTINGS

EXAMPLES = Path(__file__).parents[2] / "examples"

# Fields of the operator's resource (opentelemetry.io/v1alpha1) that an Instrumentation for Python may have.
SPEC = {"exporter", "propagators", "sampler", "resource", "env", "python", "defaults", "imagePullPolicy"}
PYTHON = {"image", "env", "resourceRequirements", "volumeLimitSize", "volumeClaimTemplate"}
# The packages in the operator's image: OpenTelemetry, its exporter, and their dependencies.
IMAGE_PACKAGES = re.compile(r"opentelemetry|otel_claude_stream|wrapt|google|protobuf|requests|packaging")


def documents(path: Path) -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with OpenTelemetry's declarative configuration")
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def test_the_manifest_has_only_fields_of_the_operator():
    instrumentation, deployment = documents(EXAMPLES / "kubernetes" / "instrumentation.yaml")
    assert (instrumentation["apiVersion"], instrumentation["kind"]) == ("opentelemetry.io/v1alpha1", "Instrumentation")
    assert instrumentation["spec"].keys() <= SPEC
    python = instrumentation["spec"]["python"]
    assert python.keys() <= PYTHON
    known = {setting.variable for setting in SETTINGS}
    assert {variable["name"] for variable in python["env"]} <= known
    template = deployment["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations == {"instrumentation.opentelemetry.io/inject-python": instrumentation["metadata"]["name"]}
    assert deployment["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"]


def test_the_image_adds_only_the_wheel():
    text = (EXAMPLES / "kubernetes" / "Dockerfile").read_text(encoding="utf-8")
    (install,) = re.findall(r"^RUN pip install (.*)$", text, flags=re.MULTILINE)
    assert "--no-deps" in install
    assert [word for word in install.split() if "otel" in word or "opentelemetry" in word] == [
        '"otel-claude-stream==${VERSION:?}"'
    ]


def test_compose_activates_the_package_by_the_variable():
    (compose,) = documents(EXAMPLES / "compose.yaml")
    service = compose["services"]["app"]
    assert service["environment"]["OTEL_CLAUDE_STREAM_AUTO"] == "true"
    assert "otel-claude-stream autoload install" in service["build"]["dockerfile_inline"]
    assert service["depends_on"] == ["telemetry"]


def test_the_documented_section_has_valid_settings():
    yaml = pytest.importorskip("yaml", reason="PyYAML comes with OpenTelemetry's declarative configuration")
    (block,) = re.findall(r"```yaml\n(.*?)```", (EXAMPLES / "README.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    section = yaml.safe_load(block)["instrumentation/development"]["python"]["claude_stream"]
    settings = {setting.name: setting for setting in SETTINGS}
    assert {name: settings[name].parse(value) for name, value in section.items()} == {
        "events": "log",
        "stall_thresholds": (10.0, 30.0),
    }


def test_a_stream_is_recorded_when_the_operator_injects_the_package(api, tmp_path):
    """The environment of the application has the SDK, the injected folder has OpenTelemetry and this package."""
    injected = tmp_path / "otel-auto-instrumentation-python"
    injected.mkdir()
    venv.create(tmp_path / "venv", with_pip=False)
    (packages,) = (path for path in (tmp_path / "venv").rglob("site-packages") if not path.is_symlink())
    here = [Path(path) for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    for path in (path for parent in here for path in parent.iterdir()):
        if path.name == "opentelemetry":  # a copy, as its `sitecustomize` uses its own path
            shutil.copytree(path, injected / path.name, dirs_exist_ok=True)
        elif path.name not in {"__pycache__", "otel_claude_stream"} and not path.name.startswith("_editable"):
            (injected if IMAGE_PACKAGES.match(path.name) else packages).joinpath(path.name).symlink_to(path)
    shutil.copytree(Path(otel_claude_stream.__file__).parent, injected / "otel_claude_stream")
    folders = [injected / "opentelemetry" / "instrumentation" / "auto_instrumentation", injected]
    python = tmp_path / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    assert_one_stream(run([str(python), app("chat.py")], api, PYTHONPATH=os.pathsep.join(map(str, folders))))
