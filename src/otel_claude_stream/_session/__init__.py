"""The session of one call, which listens to its stream, decides about its failures and reports its end.

It imports nothing here: every process loads the registry of open streams, and only those with the SDK the rest.
"""
