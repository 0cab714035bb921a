"""Three network namespaces in a row: client, router and server.

They need root and `ip`. Their addresses are from TEST-NET-1 and TEST-NET-2 (RFC 5737) and exist only inside them.
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
class Network:
    """The names of the namespaces, and the path of `ip`."""

    ip: Path
    client: str
    router: str
    server: str

    def command(self, namespace, *command):
        """Return a command line that runs in a namespace."""
        return [str(self.ip), "netns", "exec", namespace, *command]

    def forward(self, *, on):
        """Make the router forward packets, or drop all of them silently."""
        setting = f"echo {int(on)} > /proc/sys/net/ipv4/ip_forward"
        subprocess.run(self.command(self.router, "sh", "-c", setting), check=True, capture_output=True)


class NotAllowed(Exception):
    """This machine does not allow the test to make namespaces. The message has the reason."""


@contextmanager
def network(ip):
    """Make the namespaces, with the router forwarding.

    Raises:
        NotAllowed: The machine does not allow it.
    """
    if os.geteuid() != 0:
        raise NotAllowed("network namespaces need root")
    names = [f"ocs-{os.getpid()}-{role}" for role in ("client", "router", "server")]
    with ExitStack() as stack:
        for name in names:
            run(ip, "netns", "add", name)
            stack.callback(subprocess.run, [str(ip), "netns", "delete", name], check=False, capture_output=True)
        net = Network(ip, *names)
        connect(ip, net.client, CLIENT, net.router, CLIENT_SIDE)
        connect(ip, net.server, SERVER, net.router, SERVER_SIDE)
        for name in names:
            run(ip, "-n", name, "link", "set", "lo", "up")
        run(ip, "-n", net.client, "route", "add", "default", "via", CLIENT_SIDE)
        run(ip, "-n", net.server, "route", "add", "default", "via", SERVER_SIDE)
        try:
            net.forward(on=True)
        except subprocess.CalledProcessError as error:
            raise NotAllowed(f"cannot switch forwarding: {error.stderr.decode().strip()}") from error
        yield net


def connect(ip, end, address, router, router_address):
    """Connect an end to the router by a virtual cable, called `wire` at the end and by the end's role at the router."""
    interface = end.rsplit("-", 1)[1]
    run(ip, "link", "add", "name", "wire", "netns", end, "type", "veth", "peer", "name", interface, "netns", router)
    run(ip, "-n", end, "address", "add", f"{address}/24", "dev", "wire")
    run(ip, "-n", router, "address", "add", f"{router_address}/24", "dev", interface)
    run(ip, "-n", end, "link", "set", "wire", "up")
    run(ip, "-n", router, "link", "set", interface, "up")


def run(ip, *arguments):
    """Run `ip`.

    Raises:
        NotAllowed: It failed. The message has its error output.
    """
    done = subprocess.run([str(ip), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotAllowed(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
