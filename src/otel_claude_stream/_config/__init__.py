"""The settings, described by one table and read once into one frozen `StreamConfig`."""

from __future__ import annotations

from otel_claude_stream._config.loading import load
from otel_claude_stream._config.otel_file import Declared
from otel_claude_stream._config.problem import Problem, Severity
from otel_claude_stream._config.settings import SETTINGS, Setting, StreamConfig

__all__ = ["SETTINGS", "Declared", "Problem", "Setting", "Severity", "StreamConfig", "load"]
