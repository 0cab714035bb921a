"""The pure core: what a stream is and why it ended. No clock, random, I/O, logging, OpenTelemetry or SDK."""
