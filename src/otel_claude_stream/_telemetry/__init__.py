"""The telemetry: its schema, and the only code of the package that records with the OpenTelemetry API."""
