"""Error responses of the API and of nginx, by HTTP status."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

# The error type and message that the API documents for each status.
API_ERRORS: Final = {
    400: ("invalid_request_error", "Invalid request"),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Forbidden"),
    404: ("not_found_error", "Not found"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your account's rate limit"),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
NGINX_PAGE: Final = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
    "<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
# Statuses whose reason phrase in nginx differs from that of Python's ``HTTPStatus``.
NGINX_REASONS: Final = {
    408: "Request Time-out",
    413: "Request Entity Too Large",
    503: "Service Temporarily Unavailable",
    504: "Gateway Time-out",
}


def api_error(status: int) -> tuple[str, str]:
    """Return the API's error type and message for a status; a similar one for a status it does not document."""
    return API_ERRORS.get(status, API_ERRORS[500] if status >= 500 else API_ERRORS[400])


def nginx_page(status: int) -> str:
    """Return nginx's built-in error page for a status."""
    reason = NGINX_REASONS.get(status) or HTTPStatus(status).phrase
    return NGINX_PAGE.format(title=f"{status} {reason}")
