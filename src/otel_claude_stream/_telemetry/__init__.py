"""What leaves the process: the schema of every name, and the one place that calls the OpenTelemetry API."""
