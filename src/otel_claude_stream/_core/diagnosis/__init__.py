"""The classifier: why a stream ended, from facts and known time limits."""
