"""The pure core: what a stream is, why it ended, and what is done about it.

It uses no clock, randomness, I/O or logging, and neither OpenTelemetry nor the SDK.
"""
