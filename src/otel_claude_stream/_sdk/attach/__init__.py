"""Installing the hooks in the SDK, and following one call from its request to its stream."""
