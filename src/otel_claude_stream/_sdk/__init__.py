"""The only package that knows the Anthropic SDK, wrapt, and the HTTP library under the SDK."""
