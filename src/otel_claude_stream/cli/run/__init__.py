"""The command ``run``."""
