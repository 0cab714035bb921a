"""Free ports for servers that bind their port themselves."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

HOST = "127.0.0.1"
RANGE = range(12000, 32000)
"""Below the ports that Linux chooses itself. It could give one of those to another test, before the server binds it."""


def free_ports(number: int) -> list[int]:
    """Return ports of loopback that are free and different."""
    found: list[int] = []
    chance = random.SystemRandom()  # pytest-randomly seeds the other one equally in each worker, before each test
    while len(found) < number:
        port = chance.choice(RANGE)
        with suppress(OSError), socket.create_server((HOST, port)):
            if port not in found:
                found.append(port)
    return found


def free_port() -> int:
    """Return a free port of loopback."""
    return free_ports(1)[0]
