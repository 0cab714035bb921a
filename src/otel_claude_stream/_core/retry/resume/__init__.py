"""Resuming a text answer that broke off: the request, the seam, and the splice."""
