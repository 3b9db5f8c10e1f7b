"""`python -m neuroalign` is `neuroalign`."""

from __future__ import annotations

import sys

from neuroalign.cli import main

sys.exit(main())
