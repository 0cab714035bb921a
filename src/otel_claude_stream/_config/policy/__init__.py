"""The configuration of the retry policy, by a file, the environment, code, or for single calls.

Importing this package reads nothing. A process without a policy does not import the modules that load one (`loading`).
"""

from __future__ import annotations

from otel_claude_stream._config.policy.kill_switch import KillSwitch, without_kill_switch
from otel_claude_stream._config.policy.override import PolicySource, policy_source

__all__ = ["KillSwitch", "PolicySource", "policy_source", "without_kill_switch"]
