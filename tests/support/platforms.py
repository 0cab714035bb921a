"""Clients for the cloud platforms that the SDK supports."""

from __future__ import annotations

import pytest

AWS_KEYS = {"aws_access_key": "a", "aws_secret_key": "s", "aws_region": "eu-west-1"}


def platform_client(mode, name, url, options):
    """Create a client of a platform; skip the test if this release of the SDK has none, or a library is missing."""
    kind = mode.kind(name)
    if kind is None:
        pytest.skip(f"this release of the SDK has no {name}")
    if name in {"AnthropicBedrock", "AnthropicBedrockMantle", "AnthropicAWS"}:
        pytest.importorskip("boto3", reason="clients for AWS sign their requests with botocore")
    if name == "AnthropicVertex":
        pytest.importorskip("google.auth", reason="the client for Vertex needs google-auth")
    return kind(base_url=url, max_retries=0, **options)
