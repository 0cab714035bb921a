"""Exception chains that callers of the SDK get, as plain data."""

from __future__ import annotations

from otel_claude_stream._core.diagnosis.facts import Fault

# Class -> its relevant bases, nearest first, without Exception.
_HTTP = ("TransportError", "RequestError", "HTTPError")
MRO = {
    "ReadTimeout": ("TimeoutException", *_HTTP),
    "WriteTimeout": ("TimeoutException", *_HTTP),
    "ConnectTimeout": ("TimeoutException", *_HTTP),
    "PoolTimeout": ("TimeoutException", *_HTTP),
    "ReadError": ("NetworkError", *_HTTP),
    "ConnectError": ("NetworkError", *_HTTP),
    "RemoteProtocolError": ("ProtocolError", *_HTTP),
    "LocalProtocolError": ("ProtocolError", *_HTTP),
    "UnsupportedProtocol": _HTTP,
    "ProxyError": _HTTP,
    "DecodingError": ("RequestError", "HTTPError"),
    "TooManyRedirects": ("RequestError", "HTTPError"),
    "StreamClosed": ("StreamError", "RuntimeError"),
    "APIConnectionError": ("APIError", "AnthropicError"),
    "APITimeoutError": ("APIConnectionError", "APIError", "AnthropicError"),
    "APIStatusError": ("APIError", "AnthropicError"),
    "OverloadedError": ("InternalServerError", "APIStatusError", "APIError", "AnthropicError"),
    "ConnectionResetError": ("ConnectionError", "OSError"),
    "BrokenPipeError": ("ConnectionError", "OSError"),
    "ConnectionRefusedError": ("ConnectionError", "OSError"),
    "TimeoutError": ("OSError",),
    "gaierror": ("OSError",),
    "SSLCertVerificationError": ("SSLError", "OSError", "ValueError"),
    "JSONDecodeError": ("ValueError",),
    "UnicodeDecodeError": ("UnicodeError", "ValueError"),
    "ServerDisconnectedError": ("ServerConnectionError", "ClientConnectionError", "ClientError"),
    "ClientOSError": ("ClientConnectionError", "ClientError", "OSError"),
    "ClientConnectorError": ("ClientOSError", "ClientConnectionError", "ClientError", "OSError"),
    "ClientPayloadError": ("ClientError",),
    "SocketTimeoutError": ("ServerTimeoutError", "ServerConnectionError", "ClientError", "TimeoutError", "OSError"),
    "ValidationError": ("ValueError",),
}
BASE_ONLY = {"CancelledError", "Cancelled", "KeyboardInterrupt", "SystemExit", "GeneratorExit"}
MODULES = {"hx": "httpx2", "hc": "httpcore2", "aio": "aiohttp", "an": "anthropic", "py": "builtins"}


def fault(*links: str, errno: int | None = None, message: str = "") -> Fault:
    """Return the chain `fault("hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError")`, outermost first."""
    kinds, modules, bases = [], [], []
    for link in links:
        short, _, kind = link.rpartition(".")
        kinds.append(kind)
        modules.append(MODULES.get(short, short or "builtins"))
        tail = ("BaseException",) if kind in BASE_ONLY else ("Exception", "BaseException")
        bases.append(frozenset({kind, *MRO.get(kind, ()), *tail, "object"}))
    return Fault(tuple(kinds), tuple(modules), tuple(bases), message=message, errno=errno)


CHUNKED_BODY_CUT = fault(
    "hx.RemoteProtocolError",
    "hc.RemoteProtocolError",
    "h11.RemoteProtocolError",
    message="peer closed connection without sending complete message body (incomplete chunked read)",
)
CONTENT_LENGTH_CUT = fault(
    "hx.RemoteProtocolError",
    "hc.RemoteProtocolError",
    message="peer closed connection without sending complete message body (received 1016 bytes, expected 1913)",
)
BODY_CUT_AIOHTTP = fault(
    "hx.ReadError",
    "aio.ClientPayloadError",
    "aio.TransferEncodingError",
    message="Response payload is not completed: <TransferEncodingError: 400>",
)
BAD_CHUNK = fault(
    "hx.RemoteProtocolError", "hc.RemoteProtocolError", message="illegal chunk header: bytearray(b'\\r\\n')"
)
RESET = fault("hx.ReadError", "hc.ReadError", "ConnectionResetError", errno=104, message="[Errno 104] Connection reset")
RESET_ASYNC = fault("hx.ReadError", "hc.ReadError", "anyio.BrokenResourceError", "ConnectionResetError", errno=104)
RESET_NO_ERRNO = fault("hx.ReadError", "hc.ReadError", "anyio.BrokenResourceError")
GZIP = fault("hx.DecodingError", "zlib.error", message="Error -3 while decompressing data: incorrect data check")
GZIP_RAW = fault("zlib.error", message="Error -3 while decompressing data")
READ_TIMEOUT = fault("hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", message="timed out")
READ_TIMEOUT_ASYNC = fault("hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", "asyncio.CancelledError")
READ_TIMEOUT_AIOHTTP = fault("hx.ReadTimeout", "aio.SocketTimeoutError", message="Timeout on reading data from socket")
RESPONSE_TIMEOUT = fault(
    "an.APITimeoutError", "hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", message="Request timed out."
)
RESPONSE_TIMEOUT_ASYNC = fault(
    "an.APITimeoutError", "hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", "asyncio.CancelledError"
)
WRITE_TIMEOUT = fault("an.APITimeoutError", "hx.WriteTimeout", "hc.WriteTimeout", "TimeoutError")
CONNECT_TIMEOUT = fault("an.APITimeoutError", "hx.ConnectTimeout", "hc.ConnectTimeout", "TimeoutError")
POOL_TIMEOUT = fault("an.APITimeoutError", "hx.PoolTimeout", "hc.PoolTimeout", "TimeoutError")
DEAD_PATH = fault(
    "hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", errno=110, message="[Errno 110] Connection timed out"
)
DEAD_PATH_ASYNC = fault("hx.ReadError", "hc.ReadError", "anyio.BrokenResourceError", "TimeoutError", errno=110)
DEAD_PATH_BEFORE_HEADERS = fault("an.APITimeoutError", "hx.ReadTimeout", "hc.ReadTimeout", "TimeoutError", errno=110)
DISCONNECTED = fault(
    "an.APIConnectionError",
    "hx.RemoteProtocolError",
    "hc.RemoteProtocolError",
    message="Connection error.",
)
DISCONNECTED_AIOHTTP = fault("an.APIConnectionError", "hx.ConnectError", "aio.ServerDisconnectedError")
RESET_BEFORE_HEADERS = fault("an.APIConnectionError", "hx.ReadError", "hc.ReadError", "ConnectionResetError", errno=104)
RESET_BEFORE_HEADERS_AIOHTTP = fault("an.APIConnectionError", "hx.ConnectError", "aio.ClientOSError", errno=104)
BROKEN_PIPE_BEFORE_HEADERS = fault(
    "an.APIConnectionError", "hx.ReadError", "anyio.BrokenResourceError", "BrokenPipeError", errno=32
)
REFUSED = fault("an.APIConnectionError", "hx.ConnectError", "hc.ConnectError", "ConnectionRefusedError", errno=111)
REFUSED_AIOHTTP = fault("an.APIConnectionError", "hx.ConnectError", "aio.ClientConnectorError", errno=111)
NO_ROUTE = fault("an.APIConnectionError", "hx.ConnectError", "OSError", errno=113)
NAME_NOT_FOUND = fault("an.APIConnectionError", "hx.ConnectError", "hc.ConnectError", "socket.gaierror", errno=-2)
UNTRUSTED_CERTIFICATE = fault(
    "an.APIConnectionError", "hx.ConnectError", "hc.ConnectError", "ssl.SSLCertVerificationError"
)
PROXY_REFUSED = fault("an.APIConnectionError", "hx.ProxyError", "hc.ProxyError", message="503 Service Unavailable")
ERROR_BODY_CUT = fault("hx.ReadError", "hc.ReadError")
INVALID_JSON = fault("json.JSONDecodeError", message="Expecting value: line 1 column 1 (char 0)")
INVALID_UTF8 = fault("UnicodeDecodeError")
NOT_HTTP = fault(
    "an.APIConnectionError", "hx.RemoteProtocolError", message="illegal status line: bytearray(b'SSH-2.0')"
)
STATUS_ERROR = fault("an.APIStatusError", message="Overloaded")
CANCELLED = fault("asyncio.CancelledError")
BAD_FILE_DESCRIPTOR = fault("hx.ReadError", "hc.ReadError", "OSError", errno=9, message="[Errno 9] Bad file descriptor")
CLOSED_ANYIO = fault("hx.ReadError", "hc.ReadError", "anyio.ClosedResourceError")
CLOSED_AIOHTTP = fault("hx.ConnectError", message="Connection closed")
