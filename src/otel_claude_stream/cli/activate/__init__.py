"""The commands ``path`` and ``autoload``, which switch the instrumentation on outside of the application's code."""
