"""Retries of streams that failed: the policy, the decision, and the resuming of a text."""
