"""`python -m pennyweight` is the command."""

import sys

from pennyweight.cli import main

if __name__ == "__main__":
    sys.exit(main())
