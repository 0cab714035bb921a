"""The hooks in the SDK, which follow a call from its request to its stream."""
