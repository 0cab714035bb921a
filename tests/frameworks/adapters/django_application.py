"""The application that `django_uvicorn` and `django_gunicorn` serve."""

from __future__ import annotations

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path
from probe import in_worker

from adapters import sdk
from adapters.servers import lines, lines_async

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="none", DEBUG=False)
probe = in_worker()


async def ask_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines_async(sdk.stream_async(request.GET["url"])))


def ask(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(lines(sdk.stream(request.GET["url"])))


def telemetry(request: HttpRequest) -> JsonResponse:
    return JsonResponse(probe.collect())


urlpatterns = [path("ask/async", ask_async), path("ask/sync", ask), path("telemetry", telemetry)]
application = get_asgi_application()
