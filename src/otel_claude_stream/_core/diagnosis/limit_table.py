"""Known time limits of what may sit between an application and the API: pure data, one row per default.

``seconds`` are defaults; an installation may have changed them, so a match is never more than "consistent with".
``source`` says how far a row can be trusted: "docs:" read in the vendor's documentation, "reported:" seen in public
reports, "measured:" seen in this project's own lab, "general knowledge" otherwise (not checked against a document).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

SMALLEST_KNOWN = 15.0
"""Smallest default of the table in seconds (Envoy's route timeout). What is meant for real limits shrinks below it:
the slack with the limit itself, the floor (``limits.FLOOR``) with the smallest limit in force. A 2 s limit of a test
must not fit every ending."""
SLACK = 2.0
"""How far from a limit an ending may be, in seconds: timers are tight, notices of a cut are late."""
SLACK_SHARE = 0.03
"""The same as a share of the limit, for the long ones."""
JITTER = 0.3
"""Coarse timers (nginx) are off by up to this many seconds, however short the limit (measured) ..."""
JITTER_SHARE = 0.15
"""... but never by more than this share of a limit."""


class LimitKind(str, Enum):
    """What a limit counts."""

    IDLE = "idle"
    """Time without a byte: any byte, a ping too, starts it again."""
    DURATION = "duration"
    """Time since the start of the request: nothing starts it again."""


class Remedy(str, Enum):
    """What helps against a limit; the sentences are in ``advice.py``."""

    RAISE_IDLE = "raise_idle"
    """A setting can be raised, and pings help where they are forwarded."""
    FORWARD_PINGS = "forward_pings"
    """The limit is fixed: only bytes that keep flowing help."""
    KEEPALIVE = "keepalive"
    """A device below HTTP: TCP keep-alives that come more often than the limit."""
    RAISE_DURATION = "raise_duration"
    """Only a longer limit or a shorter answer helps."""
    CLIENT = "client"
    """The client's own setting."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One known time limit. Times in seconds; texts for people, except the fingerprints."""

    seconds: float
    kind: LimitKind
    vendor: str
    product: str
    setting: str
    """The setting that holds the limit, as the vendor spells it; empty if it cannot be set."""
    remedy: Remedy
    before_headers: str = ""
    """What a client sees when the limit strikes before the response's headers; "-" if it does not strike there."""
    mid_stream: str = ""
    """What a client sees when the limit strikes in the body; "-" if it does not strike there."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fingerprints: (header name, lower case part of its value; "" for any value)."""
    wording: tuple[str, ...] = ()
    """Fingerprints: lower case parts of an error body."""
    source: str = "general knowledge"
    late: float = 0.0
    """How long after its decision the product closes a stream, in seconds. A constant of the product: never scaled."""
    api_edge: bool = False
    """The API itself is served through this product: its headers beside an API ``request-id`` prove nothing."""

    # What follows from the above, worked out once: endings are compared with every row.
    name: str = field(init=False, default="")
    """The name under which a suspect is listed: ``nginx``, ``AWS ALB``."""
    on_client: bool = field(init=False, default=False)
    """Whether this is the client's own limit, not one of something in between."""
    earliest: float = field(init=False, default=0.0)
    """The shortest time in seconds that fits."""
    latest: float = field(init=False, default=0.0)
    """The longest time in seconds that fits before the response's headers."""
    latest_in_body: float = field(init=False, default=0.0)
    """The longest time in seconds that fits in the body, where some products are late."""

    def __post_init__(self) -> None:
        full = self.product if self.product.startswith(self.vendor) else f"{self.vendor} {self.product}"
        seconds = self.seconds
        jitter = min(JITTER, seconds * JITTER_SHARE)
        slack = max(min(SLACK, seconds * SLACK / SMALLEST_KNOWN), seconds * SLACK_SHARE, jitter)
        object.__setattr__(self, "name", full)
        object.__setattr__(self, "on_client", self.remedy is Remedy.CLIENT)
        object.__setattr__(self, "earliest", seconds - slack)
        object.__setattr__(self, "latest", seconds + slack)
        object.__setattr__(self, "latest_in_body", seconds + max(slack, self.late + jitter))


@dataclass(frozen=True, slots=True)
class Product:
    """A product that can be recognised but has no default limit worth a row."""

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
    # 60 s between two bytes: the most ordinary cut, and the one most often met on the way to an API.
    Limit(60, _IDLE, "nginx", "nginx", "proxy_read_timeout", Remedy.RAISE_IDLE, "504 HTML", _FIN, _NGINX,
          ("<center>nginx",), "docs: nginx ngx_http_proxy_module; measured: up to 0.3 s early"),
    Limit(60, _IDLE, "AWS", "ALB", "idle_timeout.timeout_seconds", Remedy.RAISE_IDLE, "504 HTML", _FIN, _ALB, (),
          "docs: AWS Elastic Load Balancing, load balancer attributes (as cited in WaveHouse#346, onyx#14206)"),
    Limit(60, _IDLE, "Kong", "Kong", "read_timeout", Remedy.RAISE_IDLE, "504 JSON with message", _FIN, _KONG, (),
          "docs: Kong Gateway, service object; headers: general knowledge"),
    # HAProxy has no default: its documentation's examples and the distributions' files say 50 s, 1m and 30 s.
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
    # The client's own. Never a candidate for a cut that came over the wire.
    Limit(600, _IDLE, "Anthropic SDK", "Anthropic SDK", "timeout (read)", Remedy.CLIENT, "APITimeoutError",
          "ReadTimeout", (), (), "docs: anthropic _constants.DEFAULT_TIMEOUT"),
    Limit(360, _IDLE, "Anthropic SDK", "Anthropic SDK TCP keep-alive", "http_client socket options", Remedy.CLIENT,
          "APITimeoutError with ETIMEDOUT", "ReadTimeout or ReadError with ETIMEDOUT", (), (),
          "measured: 60 s + 5 x 60 s, a dead path ends after 360-366 s"),
)  # fmt: skip  # one row, one limit: the formatter would give each argument a line of its own
"""Every limit known by default; replace or scale with ``limits.parse_limits`` / ``limits.scale_limits``."""

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
"""Products recognised by header or wording only (server headers measured, Zscaler general knowledge)."""
