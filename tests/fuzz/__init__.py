"""Random conversations and random bodies. `python -m tests.fuzz --help` plays as many as wanted."""
