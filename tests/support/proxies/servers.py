"""The proxies between the SDK and the fake API, and a relay that limits whole responses.

Each instance has its own folder, configuration, port and process, on loopback, and is always reaped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import HOST, free_port

IDLE, TOTAL_LIMIT, DRAIN = 2, 6, 1
"""Limits of the lab in seconds, for silence, for the whole response, and for open streams at a reload."""
START_SECONDS = 10.0

NGINX = """\
{user}
daemon off;
worker_processes 1;
worker_shutdown_timeout {drain}s;
pid "{folder}/nginx.pid";
error_log "{folder}/error.log" notice;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path "{folder}/client";
    proxy_temp_path "{folder}/proxy";
    fastcgi_temp_path "{folder}/fastcgi";
    uwsgi_temp_path "{folder}/uwsgi";
    scgi_temp_path "{folder}/scgi";
    proxy_read_timeout {idle}s;
    server {{
        listen {host}:{port};
        # The recommended settings for streams.
        location /plain/ {{
            proxy_pass http://{host}:{api}/;
            proxy_http_version 1.1;
            proxy_buffering off;
        }}
        # Buffering, the default of nginx, with HTTP/1.1 to the upstream.
        location /buffered/ {{
            proxy_pass http://{host}:{api}/;
            proxy_http_version 1.1;
            proxy_buffering on;
        }}
        # Compression, which passes nothing on before the end.
        location /gzip/ {{
            proxy_pass http://{host}:{api}/;
            proxy_http_version 1.1;
            gzip on;
            gzip_proxied any;
            gzip_types text/event-stream;
        }}
        # Defaults: HTTP/1.0 to the upstream, and buffering.
        location /default/ {{
            proxy_pass http://{host}:{api}/;
        }}
        # Error pages of the upstream are replaced.
        location /pages/ {{
            proxy_pass http://{host}:{api}/;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_intercept_errors on;
            error_page 429 500 502 503 504 529 =503 /busy.html;
        }}
        location = /busy.html {{
            internal;
            default_type text/html;
            return 503 "<html><body><h1>We will be back soon</h1></body></html>";
        }}
        # A limit on the request body that every request exceeds.
        location /small/ {{
            proxy_pass http://{host}:{api}/;
            client_max_body_size 10;
        }}
        # An upstream that is down.
        location /down/ {{
            proxy_pass http://{host}:{closed}/;
        }}
    }}
}}
"""

HAPROXY = """\
global
    maxconn 500
    hard-stop-after {drain}s
defaults
    mode http
    option http-no-delay
    timeout connect {idle}s
    timeout client 30s
    timeout server {idle}s
frontend lab
    bind {host}:{port}
    http-request set-var(txn.down) bool(true) if {{ path_beg /down/ }}
    http-request set-path %[path,regsub(^/[a-z]+,)]
    use_backend down if {{ var(txn.down) -m bool }}
    default_backend api
backend api
    server api {host}:{api}
backend down
    retries 0
    server down {host}:{closed}
"""


@contextmanager
def closed_port():
    """Reserve a port on which no process listens."""
    with socket.socket() as held:
        held.bind((HOST, 0))
        yield held.getsockname()[1]


@dataclass
class Proxy:
    """A running proxy. ``url`` lacks the location (``/plain``), which selects a set-up."""

    url: str
    port: int
    process: subprocess.Popen[bytes] | None
    log: Path | None

    def send(self, signal_number, *, whole_group=False):
        """Send a signal to the master, or to its workers as well."""
        assert self.process is not None
        if whole_group:
            os.killpg(self.process.pid, signal_number)
        else:
            self.process.send_signal(signal_number)

    def log_tail(self):
        return self.log.read_text(errors="replace")[-2000:] if self.log is not None else ""


@contextmanager
def nginx(program, folder, api, closed):
    """Run nginx with one worker."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""  # otherwise its workers cannot enter the folder of the test
    text = NGINX.format(user=user, drain=DRAIN, idle=IDLE, folder=folder, host=HOST, port=port, api=api, closed=closed)
    configuration = folder / "nginx.conf"
    configuration.write_text(text)
    command = [str(program), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(configuration)]
    with running(command, folder, port) as proxy:
        yield proxy


@contextmanager
def haproxy(program, folder, api, closed):
    """Run HAProxy with a master and one worker."""
    port = free_port()
    configuration = folder / "haproxy.cfg"
    configuration.write_text(HAPROXY.format(drain=DRAIN, idle=IDLE, host=HOST, port=port, api=api, closed=closed))
    with running([str(program), "-W", "-db", "-f", str(configuration)], folder, port) as proxy:
        yield proxy


@contextmanager
def running(command, folder, port):
    """Run a process in its own session until it listens, and kill the whole session at the end."""
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        proxy = Proxy(f"http://{HOST}:{port}", port, process, log)
        wait_for_port(proxy)
        yield proxy
    finally:
        reap(process)


def wait_for_port(proxy):
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError):
            socket.create_connection((HOST, proxy.port), timeout=1).close()
            return
        if proxy.process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"{proxy.process.args[0]} does not listen on its port: {proxy.log_tail()}")
        time.sleep(0.02)


def reap(process):
    """Kill a process and its workers, which are in its session."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=10)


@contextmanager
def total_limit_relay(api):
    """Run a relay of bytes that closes each connection `TOTAL_LIMIT` seconds after it began.

    It stands in for a proxy that limits the duration of a response, such as Envoy or an API gateway. Neither nginx nor
    HAProxy can, and Debian has no other. The client sees the same, a FIN inside the body.
    """
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0), backlog=64))
        stopped = threading.Event()
        relays = []

        def accept():
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                relay = threading.Thread(target=relay_bytes, args=(client, api, stopped), daemon=True)
                relays.append(relay)
                relay.start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield Proxy(f"http://{HOST}:{port}", port, None, None)
        finally:
            stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
            for one in (thread, *relays):
                one.join(timeout=10)


def relay_bytes(client, api, stopped):
    deadline = time.monotonic() + TOTAL_LIMIT
    with client, socket.create_connection((HOST, api)) as upstream:

        def pump(source, sink):
            with suppress(OSError):
                while data := source.recv(1 << 16):
                    sink.sendall(data)
            with suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

        pumps = [threading.Thread(target=pump, args=ends) for ends in ((client, upstream), (upstream, client))]
        for one in pumps:
            one.start()
        while pumps[1].is_alive() and time.monotonic() < deadline and not stopped.is_set():
            pumps[1].join(min(0.05, max(0.0, deadline - time.monotonic())))
        for sock in (client, upstream):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for one in pumps:
            one.join(timeout=5)
