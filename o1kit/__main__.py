"""`python -m o1kit`."""

import sys

from o1kit.cli import main

sys.exit(main())
