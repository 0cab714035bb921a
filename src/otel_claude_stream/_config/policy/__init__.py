"""The retry policy as it is configured: in a file, in the environment, in code, for a single call.

Importing this reads nothing and costs next to nothing: a process without a policy loads neither what reads one (`load`)
nor pydantic.
"""

from __future__ import annotations

from otel_claude_stream._config.policy.kill_switch import kill_switched, lifted
from otel_claude_stream._config.policy.process import PolicySource, policy_source

__all__ = ["PolicySource", "kill_switched", "lifted", "policy_source"]
