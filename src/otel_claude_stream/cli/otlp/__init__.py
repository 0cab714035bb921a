"""OTLP requests: received, decoded, recorded and forwarded."""
