"""The file for a bug report has the findings, and names of hosts, people and folders are left out."""

from __future__ import annotations

import json
import platform
import stat
from pathlib import Path

import pytest

from otel_claude_stream.cli.doctor.bundle import redacted, write_bundle
from otel_claude_stream.cli.main import main

SECRETS = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://ana:pass-word-1@otlp.corp.example:4318/v1",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "logs-gateway:4317",
    "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20abcdef0123456789",
    "ANTHROPIC_BASE_URL": "http://proxy.corp.example/claude",
    "ANTHROPIC_API_KEY": "sk-ant-0123456789",
    "HTTPS_PROXY": "http://egress.corp.example:3128",
}


def test_the_command_writes_the_findings_without_names(tmp_path, monkeypatch, capsys):
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    path = tmp_path / "doctor.json"
    code = main(["doctor", "--offline", "--no-stream", "--bundle", str(path)])
    text = path.read_text(encoding="utf-8")
    found = json.loads(text)
    assert found["exit_code"] == code
    assert "Versions" in [section["title"] for section in found["sections"]]
    assert found["platform"]["python"] == platform.python_version()
    assert set(SECRETS) - {"HTTPS_PROXY"} <= set(found["variables"])
    for secret in ("corp.example", "logs-gateway", "pass-word-1", "abcdef0123456789", "sk-ant", str(Path.home()) + "/"):
        assert secret not in text, secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"wrote {path}" in capsys.readouterr().err


def test_a_host_has_one_number_wherever_it_is_named():
    report = {
        "a": "https://one.example/x and http://two.example",
        "b": "to one.example: refused",
        "c": "localhost:4318",
    }
    assert redacted(report, {}) == {
        "a": "https://host-1/x and http://host-2",
        "b": "to host-1: refused",
        "c": "localhost:4318",
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "api.anthropic.com"])
def test_hosts_that_identify_no_one_stay(host):
    assert redacted({"url": f"http://{host}:4318"}, {}) == {"url": f"http://{host}:4318"}


def test_folders_and_the_machine_are_left_out(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(platform, "node", lambda: "anas-laptop")
    report = {"text": f"{tmp_path}/retry.yaml, {Path.home()}/.venv, on anas-laptop"}
    assert redacted(report, {}) == {"text": "<folder>/retry.yaml, ~/.venv, on <machine>"}


def test_a_file_that_cannot_be_written_is_an_error(tmp_path, capsys):
    assert main(["doctor", "--offline", "--no-stream", "--bundle", str(tmp_path / "none" / "x.json")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_bundle_replaces_an_earlier_one(tmp_path):
    path = tmp_path / "doctor.json"
    path.write_text("x" * 100_000, encoding="utf-8")
    write_bundle(path, {"version": "1"}, {})
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == "1"
