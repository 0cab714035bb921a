"""The example application of the demo; run as a program of its own, never imported."""
