"""import-linter's contracts of pyproject.toml, over the whole package."""

from __future__ import annotations

import os
import sys

from importlinter.cli import lint_imports
from mirror import CHECKOUT, lay_mirror


def main() -> None:
    # The finder of an editable install comes before sys.path and would answer with `src/` alone.
    sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__]
    sys.path.insert(0, str(lay_mirror()))
    os.chdir(CHECKOUT)
    sys.exit(lint_imports(no_cache=True, no_logo=True))


if __name__ == "__main__":
    main()
