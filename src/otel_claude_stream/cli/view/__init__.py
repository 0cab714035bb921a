"""How streams are shown: the model of a stream, and its renderings for a terminal and for an HTML report."""
