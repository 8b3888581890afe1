"""`python -m pysr_neural` is the `pysr-neural` command."""

import sys

from pysr_neural.cli import main

sys.exit(main())
