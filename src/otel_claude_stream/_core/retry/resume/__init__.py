"""Continuing a text answer that broke: the request, the seam, and the splice."""
