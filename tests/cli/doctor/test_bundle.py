"""The file for a bug report has the findings, and names of hosts, people and folders are left out."""

from __future__ import annotations

import json
import os
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
    assert redacted(report, {}) == {"text": "<folder>/retry.yaml, <folder>/.venv, on <machine>"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CPython 3.11.7 (/srv/acme/venv/bin/python)", "CPython 3.11.7 (<folder>/python)"),
        ("mode = retry (/srv/acme/retry.yaml:3)", "mode = retry (<folder>/retry.yaml:3)"),
        ("/srv/Acme Corp/my files/retry.yaml:2: bogus='1'", "<folder>/retry.yaml:2: bogus='1'"),
        ("/srv/Acme, Inc. (old)/O'Brien/retry.yaml is missing", "<folder>/retry.yaml is missing"),
        (
            "cannot read '/home/alice/a.pem' and \"/srv/acme/b.pem\"",
            "cannot read '<folder>/a.pem' and \"<folder>/b.pem\"",
        ),
        ("/srv/acme/a.yaml, /srv/acme/b.yaml; x=/srv/acme/c", "<folder>/a.yaml, <folder>/b.yaml; x=<folder>/c"),
        ("(/srv/a/x.yaml:3), https://localhost/v1/traces", "(<folder>/x.yaml:3), https://localhost/v1/traces"),
        ("the home folder is /home/alice.", "the home folder is <folder>"),
        ("/Users/alice, C:\\Users\\alice and ~alice/", "<folder>, <folder> and <folder>"),
        ("in /usr, and /usr/", "in <folder>, and <folder>"),
        (
            "file:///home/alice/otel.yaml, unix:/run/acme/otel.sock",
            "file://<folder>/otel.yaml, unix:<folder>/otel.sock",
        ),
        ("PYTHONPATH=/srv/acme:/opt/x/site", "PYTHONPATH=<folder>/site"),
        ("~/acme/retry.yaml, ~ana/x.yaml, ../acme/y.yaml", "<folder>/retry.yaml, <folder>/x.yaml, <folder>/y.yaml"),
        (r"C:\Users\Ana Maria\Acme Corp\retry.yaml:3: mode", "<folder>/retry.yaml:3: mode"),
        (r"'C:\\Users\\ana\\retry.yaml'", "'<folder>/retry.yaml'"),
        ("d:/acme/x.json", "<folder>/x.json"),
        (r"\\fileserver\Acme Corp\x.json and \\fileserver\x", "<folder>/x.json and <folder>/x"),
        ("//srv/acme/x", "<folder>/x"),
        ("/srv/{acme}(/x, '/srv/acme=/y'", "<folder>/x, '<folder>/y'"),
        ("/srv/acme/naïve/日本.yaml", "<folder>/日本.yaml"),
        (f"/{'x' * 5000}/{'y' * 5000}", f"<folder>/{'y' * 5000}"),
        ("/srv/\0/y", "<folder>/y"),
        ("without /v1/traces; TRACES_ENDPOINT is", "without /v1/traces; TRACES_ENDPOINT is"),
        ("http://localhost:4318/v1/traces, and/or 3/4, a / b", "http://localhost:4318/v1/traces, and/or 3/4, a / b"),
    ],
)
def test_a_path_keeps_its_last_part_alone(text, shown):
    assert redacted({"sections": [{"text": text}]}, {}) == {"sections": [{"text": shown}]}


def test_paths_of_variables_are_known_whatever_signs_they_contain(tmp_path, monkeypatch):
    (tmp_path / "acme" / "Acme (" / "our files").mkdir(parents=True)
    (tmp_path / "acme" / "retry.yaml").touch()
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "acme" / "Acme (")
    environ = {
        "OTEL_CLAUDE_STREAM_CONFIG": "acme/retry.yaml",
        "PYTHONPATH": f"{folder}{os.pathsep}{folder}/our files",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "unix:///run/acme/otel.sock",
    }
    text = f"acme/retry.yaml:1: x; {folder}/a.py; {folder}/our files, {folder}; model a/b"
    assert redacted({"text": text}, environ) == {
        "text": "<folder>/retry.yaml:1: x; <folder>/a.py; <folder>, <folder>; model a/b"
    }


def test_relative_paths_of_missing_files_are_known():
    environ = {"OTEL_CLAUDE_STREAM_CONFIG": "acme/a.yaml", "OTEL_EXPORTER_OTLP_CERTIFICATE": "acme/ca.pem"}
    text = "acme/a.yaml: No such file; acme/ca.pem; acme/b.yaml:3"
    found = redacted({"text": text}, environ, "acme/b.yaml")
    assert found == {"text": "<folder>/a.yaml: No such file; <folder>/ca.pem; <folder>/b.yaml:3"}


def test_a_folder_of_this_machine_is_left_out_as_a_whole(tmp_path):
    (tmp_path / "acme").mkdir()
    assert redacted({"text": f"{tmp_path}/acme, {tmp_path}/acme."}, {}) == {"text": "<folder>, <folder>"}


def test_folders_stay_without_a_bundle(tmp_path, capsys):
    path = tmp_path / "our folder" / "retry.yaml"
    path.parent.mkdir()
    path.write_text("version: 1\nbogus: 1\n", encoding="utf-8")
    main(["doctor", "--policy", str(path), "--json", "--bundle", str(tmp_path / "doctor.json")])
    shown = "retry.yaml:2: bogus='1' is not valid: no such key"
    assert f"{path.parent}/{shown}" in capsys.readouterr().out
    bundle = (tmp_path / "doctor.json").read_text(encoding="utf-8")
    assert f"<folder>/{shown}" in bundle
    assert "our folder" not in bundle


def test_a_file_that_cannot_be_written_is_an_error(tmp_path, capsys):
    assert main(["doctor", "--offline", "--no-stream", "--bundle", str(tmp_path / "none" / "x.json")]) == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_bundle_replaces_an_earlier_one(tmp_path):
    path = tmp_path / "doctor.json"
    path.write_text("x" * 100_000, encoding="utf-8")
    write_bundle(path, {"version": "1"}, {})
    assert json.loads(path.read_text(encoding="utf-8"))["version"] == "1"
