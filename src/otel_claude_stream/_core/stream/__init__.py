"""The state of one stream as its events arrive, without I/O."""
