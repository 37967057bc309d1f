"""``python -m rexkit.cli``."""

from rexkit.cli import main

raise SystemExit(main())
