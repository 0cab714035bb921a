"""Known time limits of intermediaries between an application and the API, one row for each default.

``seconds`` are defaults. An installation may have changed them, so an ending is at most "consistent with" a limit.
``source`` is the provenance of a row:

- "docs:" the vendor's documentation
- "reported:" public reports
- "measured:" this project's lab
- "general knowledge" otherwise, without a check against a document
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

SMALLEST_KNOWN = 15.0
"""Smallest default of the table in seconds (Envoy's route timeout).

Below it, the slack shrinks with the limit, and ``limits.MIN_SILENCE`` with the smallest limit in force. Otherwise the
2 s limit of a test would fit every ending."""
SLACK = 2.0
"""Tolerance around a limit in seconds. Timers are tight, but a cut is noticed late."""
SLACK_SHARE = 0.03
"""The tolerance as a share of the limit, for long limits."""
JITTER = 0.3
"""Error of coarse timers (nginx) in seconds, for a limit of any length (measured)."""
JITTER_SHARE = 0.15
"""Upper bound of that error, as a share of the limit."""


class LimitKind(str, Enum):
    """The time that a limit counts."""

    IDLE = "idle"
    """Time without a byte. Any byte restarts it, also that of a ping."""
    DURATION = "duration"
    """Time since the start of the request. Nothing restarts it."""


class Remedy(str, Enum):
    """The remedy against a limit. The texts are in ``advice.py``."""

    RAISE_IDLE = "raise_idle"
    """Raise the setting, or forward pings."""
    FORWARD_PINGS = "forward_pings"
    """The limit is fixed, so bytes have to keep flowing."""
    KEEPALIVE = "keepalive"
    """For a device below HTTP, send TCP keep-alives more often than the limit."""
    RAISE_DURATION = "raise_duration"
    """Raise the limit, or request shorter answers."""
    CLIENT = "client"
    """Raise the client's own setting."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One known time limit. Times in seconds. Texts are for people, except the fingerprints."""

    seconds: float
    kind: LimitKind
    vendor: str
    product: str
    setting: str
    """The setting of the limit, as the vendor spells it, empty if it cannot be changed."""
    remedy: Remedy
    before_headers: str = ""
    """How a client sees the limit strike before the response headers, "-" if it does not strike there."""
    mid_stream: str = ""
    """How a client sees the limit strike in the body, "-" if it does not strike there."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fingerprints: (header name, part of its value in lower case or "" for any value)."""
    wording: tuple[str, ...] = ()
    """Fingerprints: parts of an error body in lower case."""
    source: str = "general knowledge"
    close_delay: float = 0.0
    """Seconds that the product takes to close a stream once the limit has struck. It does not scale with the limit."""
    api_edge: bool = False
    """The product serves the API itself, so its headers beside an API ``request-id`` prove nothing."""

    # Derived once, since endings are compared with every row.
    name: str = field(init=False, default="")
    """The name in the list of suspects, such as ``nginx`` or ``AWS ALB``."""
    of_client: bool = field(init=False, default=False)
    """Whether the limit is the client's, not one of an intermediary."""
    earliest: float = field(init=False, default=0.0)
    """The shortest time that fits, in seconds."""
    latest: float = field(init=False, default=0.0)
    """The longest time that fits before the response headers, in seconds."""
    latest_in_body: float = field(init=False, default=0.0)
    """The longest time that fits in the body, in seconds. Some products close a body late."""

    def __post_init__(self) -> None:
        full = self.product if self.product.startswith(self.vendor) else f"{self.vendor} {self.product}"
        seconds = self.seconds
        jitter = min(JITTER, seconds * JITTER_SHARE)
        slack = max(min(SLACK, seconds * SLACK / SMALLEST_KNOWN), seconds * SLACK_SHARE, jitter)
        object.__setattr__(self, "name", full)
        object.__setattr__(self, "of_client", self.remedy is Remedy.CLIENT)
        object.__setattr__(self, "earliest", seconds - slack)
        object.__setattr__(self, "latest", seconds + slack)
        object.__setattr__(self, "latest_in_body", seconds + max(slack, self.close_delay + jitter))


@dataclass(frozen=True, slots=True)
class Product:
    """A product that can be identified but has no default limit worth a row."""

    name: str
    headers: tuple[tuple[str, str], ...] = ()
    wording: tuple[str, ...] = ()


_IDLE, _DURATION = LimitKind.IDLE, LimitKind.DURATION
_FIN = "FIN, incomplete chunked body"
_DROP = "silence, or RST with the next packet"

_NGINX = (("server", "nginx"), ("server", "openresty"))
_KONG = (("via", "kong"), ("server", "kong"), ("x-kong-upstream-latency", ""), ("x-kong-proxy-latency", ""))
_ENVOY = (("server", "envoy"), ("x-envoy-upstream-service-time", ""))
_ENVOY_TEXT = ("upstream request timeout", "stream timeout", "downstream duration timeout", "upstream connect error")
_ISTIO = (("server", "istio-envoy"),)
_HAPROXY_TEXT = (
    "the server didn't respond in time",
    "no server is available to handle this request",
    "the server returned an invalid or incomplete response",
)
_ALB = (("server", "awselb"),)
_APIGW = (("x-amz-apigw-id", ""), ("apigw-requestid", ""))
_APIGW_TEXT = ("endpoint request timed out",)
_CLOUDFRONT = (("via", "cloudfront"), ("x-amz-cf-id", ""), ("x-cache", "cloudfront"))
_CLOUDFLARE = (("server", "cloudflare"),)
_GOOGLE = (("via", "1.1 google"),)
_RUN = (("server", "google frontend"),)
_AZURE_GW = (("server", "microsoft-azure-application-gateway"),)
_AZURE_FD = (("x-azure-ref", ""),)
_AZURE_APP = (("x-ms-middleware-request-id", ""), ("set-cookie", "arraffinity"))
_HEROKU = (("via", "heroku"), ("server", "heroku"))
_SQUID = (("x-squid-error", ""), ("via", "squid"), ("server", "squid"), ("x-cache", "squid"))

KNOWN_LIMITS: tuple[Limit, ...] = (
    # 60 s between two bytes is the most frequent cut on the way to an API.
    Limit(60, _IDLE, "nginx", "nginx", "proxy_read_timeout", Remedy.RAISE_IDLE, "504 HTML", _FIN, _NGINX,
          ("<center>nginx",), "docs: nginx ngx_http_proxy_module; measured: up to 0.3 s early"),
    Limit(60, _IDLE, "AWS", "ALB", "idle_timeout.timeout_seconds", Remedy.RAISE_IDLE, "504 HTML", _FIN, _ALB, (),
          "docs: AWS Elastic Load Balancing, load balancer attributes (as cited in WaveHouse#346, onyx#14206)"),
    Limit(60, _IDLE, "Kong", "Kong", "read_timeout", Remedy.RAISE_IDLE, "504 JSON with message", _FIN, _KONG, (),
          "docs: Kong Gateway, service object; headers: general knowledge"),
    # HAProxy has no default. Its documentation's examples and the distributions' files use 50 s, 1m and 30 s.
    Limit(30, _IDLE, "HAProxy", "HAProxy", "timeout server", Remedy.RAISE_IDLE, "504 HTML", _FIN, (), _HAPROXY_TEXT,
          "general knowledge: no default, a usual value"),
    Limit(50, _IDLE, "HAProxy", "HAProxy", "timeout server", Remedy.RAISE_IDLE, "504 HTML", _FIN, (), _HAPROXY_TEXT,
          "general knowledge: no default, the value in Debian's haproxy.cfg"),
    Limit(60, _IDLE, "HAProxy", "HAProxy", "timeout server", Remedy.RAISE_IDLE, "504 HTML", _FIN, (), _HAPROXY_TEXT,
          "general knowledge: no default, a usual value"),
    Limit(15, _DURATION, "Envoy", "Envoy", "route timeout", Remedy.RAISE_DURATION, "504 text upstream request timeout",
          _FIN, _ENVOY, _ENVOY_TEXT, "docs: Envoy FAQ on timeouts (as cited in WaveHouse#346)", 1.0),
    Limit(300, _IDLE, "Envoy", "Envoy", "stream_idle_timeout", Remedy.RAISE_IDLE, "504 or 408 text stream timeout",
          _FIN, _ENVOY, _ENVOY_TEXT, "docs: Envoy FAQ on timeouts (as cited in WaveHouse#346)", 1.0),
    Limit(300, _IDLE, "Istio", "Istio", "stream_idle_timeout (EnvoyFilter)", Remedy.RAISE_IDLE, "504 text", _FIN,
          _ISTIO, _ENVOY_TEXT, "general knowledge: Envoy's idle limit, route timeout off", 1.0),
    Limit(350, _IDLE, "AWS", "NLB", "tcp.idle_timeout.seconds", Remedy.KEEPALIVE, "RST, or silence",
          "RST, or silence", (), (), "docs: AWS Network Load Balancer, TCP idle timeout"),
    Limit(350, _IDLE, "AWS", "NAT gateway", "", Remedy.KEEPALIVE, _DROP, _DROP, (), (), "docs: AWS NAT gateway"),
    Limit(29, _DURATION, "AWS", "API Gateway", "integration timeout", Remedy.RAISE_DURATION,
          "504 JSON Endpoint request timed out", _FIN, _APIGW, _APIGW_TEXT, "reported: AWS quotas, 29 s"),
    Limit(30, _IDLE, "AWS", "API Gateway", "", Remedy.FORWARD_PINGS, "-", _FIN, _APIGW, _APIGW_TEXT,
          "reported: response streaming, edge-optimised idle limit, AWS text quoted 2026-02"),
    Limit(300, _IDLE, "AWS", "API Gateway", "", Remedy.FORWARD_PINGS, "-", _FIN, _APIGW, _APIGW_TEXT,
          "reported: response streaming, regional idle limit, AWS text quoted 2026-02"),
    Limit(900, _DURATION, "AWS", "API Gateway", "", Remedy.RAISE_DURATION, "-", _FIN, _APIGW, _APIGW_TEXT,
          "reported: response streaming, total limit, AWS text quoted 2026-02"),
    Limit(30, _IDLE, "AWS", "CloudFront", "origin response timeout", Remedy.RAISE_IDLE, "504 HTML", _FIN, _CLOUDFRONT,
          (), "docs: CloudFront origin settings (1-120 s, also between packets)"),
    Limit(100, _IDLE, "Cloudflare", "Cloudflare", "proxy read timeout", Remedy.RAISE_IDLE, "524 HTML", "FIN or RST",
          _CLOUDFLARE, ("error code 524", "error code: 524"), "docs: Cloudflare API schema, historically 100 s",
          api_edge=True),
    Limit(120, _IDLE, "Cloudflare", "Cloudflare", "proxy read timeout", Remedy.RAISE_IDLE, "524 HTML", "FIN or RST",
          _CLOUDFLARE, ("error code 524", "error code: 524"), "docs: Cloudflare connection limits", api_edge=True),
    Limit(30, _DURATION, "Google Cloud", "load balancer", "backend service timeout", Remedy.RAISE_DURATION, "504 HTML",
          "cut on schedule", _GOOGLE, (), "docs: Cloud Load Balancing backend services, quoted in reports",
          api_edge=True),
    Limit(300, _DURATION, "Google Cloud", "Run", "request timeout", Remedy.RAISE_DURATION, "504", _FIN, _RUN, (),
          "reported: 300 s, at most 3600 s"),
    Limit(1200, _IDLE, "Google Cloud", "NAT", "TCP established idle timeout", Remedy.KEEPALIVE, _DROP, _DROP, (), (),
          "general knowledge"),
    Limit(240, _IDLE, "Azure", "Load Balancer", "idle timeout", Remedy.KEEPALIVE, _DROP, _DROP, (), (),
          "docs: Azure Load Balancer TCP idle timeout (4-100 min; RST only if enabled)"),
    Limit(240, _IDLE, "Azure", "NAT Gateway", "idle timeout", Remedy.KEEPALIVE, _DROP, _DROP, (), (),
          "docs: Azure NAT Gateway TCP idle timeout"),
    Limit(20, _DURATION, "Azure", "Application Gateway", "request timeout", Remedy.RAISE_DURATION, "504 HTML", _FIN,
          _AZURE_GW, (), "general knowledge"),
    Limit(30, _DURATION, "Azure", "Front Door", "origin response timeout", Remedy.RAISE_DURATION, "504 OriginTimeout",
          _FIN, _AZURE_FD, ("origintimeout",), "docs: Azure Front Door origin response timeout (at most 240 s)"),
    Limit(230, _IDLE, "Azure", "App Service", "", Remedy.FORWARD_PINGS, "502 or 504 HTML", _FIN, _AZURE_APP, (),
          "general knowledge: front end idle limit, fixed"),
    Limit(30, _IDLE, "Heroku", "router", "", Remedy.FORWARD_PINGS, "503 HTML (H12)", "-", _HEROKU,
          ("herokucdn.com/error-pages",), "general knowledge: first byte"),
    Limit(55, _IDLE, "Heroku", "router", "", Remedy.FORWARD_PINGS, "-", "FIN (H15)", _HEROKU, (),
          "reported: rolling window after the first byte"),
    Limit(300, _DURATION, "Vercel", "Functions", "maxDuration", Remedy.RAISE_DURATION,
          "504 FUNCTION_INVOCATION_TIMEOUT", _FIN, (("x-vercel-id", ""), ("server", "vercel")),
          ("function_invocation_timeout",), "reported: 300 s"),
    Limit(60, _DURATION, "Netlify", "Functions", "", Remedy.RAISE_DURATION, "504", _FIN,
          (("x-nf-request-id", ""), ("server", "netlify")), (), "reported: 60 s, fixed"),
    Limit(900, _IDLE, "Squid", "Squid", "read_timeout", Remedy.RAISE_IDLE, "504 HTML", _FIN, _SQUID,
          ("generated by squid", "(squid"), "general knowledge: 15 minutes; header names measured"),
    Limit(60, _IDLE, "Apache", "httpd", "ProxyTimeout", Remedy.RAISE_IDLE, "502 HTML Proxy Error", _FIN,
          (("server", "apache"),), (), "general knowledge; pages measured"),
    Limit(60, _IDLE, "Varnish", "Varnish", "between_bytes_timeout", Remedy.RAISE_IDLE, "503 HTML", _FIN,
          (("x-varnish", ""), ("via", "varnish"), ("server", "varnish")), ("backend fetch failed",),
          "general knowledge; pages measured"),
    Limit(30, _IDLE, "Apache", "Traffic Server", "proxy.config.http.transaction_no_activity_timeout_out",
          Remedy.RAISE_IDLE, "504 HTML", _FIN, (("server", "ats/"), ("via", "apachetrafficserver")), (),
          "general knowledge; pages measured"),
    # The client's own limits are never candidates for a cut that arrived over the network.
    Limit(600, _IDLE, "Anthropic SDK", "Anthropic SDK", "timeout (read)", Remedy.CLIENT, "APITimeoutError",
          "ReadTimeout", (), (), "docs: anthropic _constants.DEFAULT_TIMEOUT"),
    Limit(360, _IDLE, "Anthropic SDK", "Anthropic SDK TCP keep-alive", "http_client socket options", Remedy.CLIENT,
          "APITimeoutError with ETIMEDOUT", "ReadTimeout or ReadError with ETIMEDOUT", (), (),
          "measured: 60 s + 5 x 60 s, a dead path ends after 360-366 s"),
)  # fmt: skip  # one row, one limit: the formatter would put each argument on a line
"""The limits known by default. ``limits.parse_limits`` and ``limits.scale_limits`` replace or scale them."""

KNOWN_PRODUCTS: tuple[Product, ...] = (
    Product("Caddy", (("server", "caddy"), ("via", "caddy"))),
    Product("lighttpd", (("server", "lighttpd"),)),
    Product("h2o", (("server", "h2o"),)),
    Product("nghttpx", (("server", "nghttpx"), ("via", "nghttpx"))),
    Product("mitmproxy", (("server", "mitmproxy"),)),
    Product("tinyproxy", (("server", "tinyproxy"), ("via", "tinyproxy"))),
    Product("http-proxy-middleware", (), ("error occurred while trying to proxy",)),
    Product("Zscaler", (("server", "zscaler"),), ("zscaler",)),
)
"""Products identified by header or wording only (server headers measured, Zscaler general knowledge)."""
