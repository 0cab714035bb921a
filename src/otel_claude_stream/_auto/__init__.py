"""Starting with the interpreter: by a folder on `PYTHONPATH`, or by one guarded line in the environment."""
