"""Activation at the start of the interpreter, by a folder on `PYTHONPATH` or by a `.pth` file."""
