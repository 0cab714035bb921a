"""Three network namespaces in a row, client - router - server, each with addresses that exist nowhere else.

Needs root and `ip`. The addresses are of TEST-NET-1 and TEST-NET-2 (RFC 5737), and only inside of the namespaces.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

CLIENT, SERVER = "192.0.2.2", "198.51.100.2"
CLIENT_SIDE, SERVER_SIDE = "192.0.2.1", "198.51.100.1"


@dataclass(frozen=True)
class Row:
    """The namespaces by name, and the tool that runs something in them."""

    ip: Path
    client: str
    router: str
    server: str

    def command(self, namespace, *command):
        """A command line that runs in a namespace."""
        return [str(self.ip), "netns", "exec", namespace, *command]

    def forward(self, *, on):
        """Whether the router forwards: if not, it drops every packet without a word to anybody."""
        setting = f"echo {int(on)} > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(self.command(self.router, "sh", "-c", setting), check=True, capture_output=True)


class NotAllowed(Exception):
    """This machine does not let the test make namespaces; says why."""


@contextmanager
def row(ip):
    """The row, up and forwarding. Raises ``NotAllowed``."""
    if os.geteuid() != 0:
        raise NotAllowed("only root may make network namespaces")
    names = [f"ocs-{os.getpid()}-{role}" for role in ("client", "router", "server")]
    with ExitStack() as stack:
        for name in names:
            run(ip, "netns", "add", name)
            stack.callback(subprocess.run, [str(ip), "netns", "delete", name], check=False, capture_output=True)
        made = Row(ip, *names)
        join(ip, made.client, CLIENT, made.router, CLIENT_SIDE)
        join(ip, made.server, SERVER, made.router, SERVER_SIDE)
        for name in names:
            run(ip, "-n", name, "link", "set", "lo", "up")
        run(ip, "-n", made.client, "route", "add", "default", "via", CLIENT_SIDE)
        run(ip, "-n", made.server, "route", "add", "default", "via", SERVER_SIDE)
        try:
            made.forward(on=True)
        except subprocess.CalledProcessError as error:
            raise NotAllowed(f"forwarding cannot be switched: {error.stderr.decode().strip()}") from error
        yield made


def join(ip, end, address, router, router_address):
    """A cable between an end and the router; its two plugs are called `wire` and like the end's namespace."""
    plug = end.rsplit("-", 1)[1]
    run(ip, "link", "add", "name", "wire", "netns", end, "type", "veth", "peer", "name", plug, "netns", router)
    run(ip, "-n", end, "address", "add", f"{address}/24", "dev", "wire")
    run(ip, "-n", router, "address", "add", f"{router_address}/24", "dev", plug)
    run(ip, "-n", end, "link", "set", "wire", "up")
    run(ip, "-n", router, "link", "set", plug, "up")


def run(ip, *arguments):
    """Run `ip`. Raises ``NotAllowed`` with what it said."""
    done = subprocess.run([str(ip), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotAllowed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
