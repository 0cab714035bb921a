"""The shells around bytes, frames and events of a stream, and how reading ends."""
