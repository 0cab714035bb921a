"""Reading a stream: bytes, frames, events, and how reading ends."""
