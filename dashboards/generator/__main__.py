"""``python -m dashboards.generator`` writes the dashboards and rules; ``--check`` fails where they are out of date."""

from __future__ import annotations

import sys

from dashboards.generator.command import main

sys.exit(main())
