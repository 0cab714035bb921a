"""Start a child process that reads one answer, as a task queue does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

done = subprocess.run([sys.executable, str(Path(__file__).with_name("chat.py"))], check=True, stdout=subprocess.PIPE)
print(done.stdout.decode().strip(), flush=True)
