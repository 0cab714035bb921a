"""The example application of the demo, run as a separate program and never imported."""
