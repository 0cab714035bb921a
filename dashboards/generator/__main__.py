"""Entry point of ``python -m dashboards.generator``."""

from __future__ import annotations

import sys

from dashboards.generator.command import main

sys.exit(main())
