"""mypy --strict over the whole package and the code beside it. Fails too if it saw fewer files than there are."""

from __future__ import annotations

import re
import subprocess
import sys

from mirror import CHECKOUT, lay_mirror, python_files


def mypy(*arguments: str) -> int:
    """Run mypy, show what it says, and return the number of files it checked; exit if it found anything."""
    result = subprocess.run([sys.executable, "-m", "mypy", *arguments], cwd=CHECKOUT, capture_output=True, text=True)
    print(result.stdout, result.stderr, sep="", end="")
    checked = re.search(r"no issues found in (\d+) source file", result.stdout)
    if result.returncode or checked is None:
        sys.exit(1)
    return int(checked[1])


def main() -> None:
    package = lay_mirror() / "pennyweight"
    expected = len(python_files(package))
    # By path, not `-p pennyweight`: that would find the installed package, which mypy sees only half of.
    checked = mypy(str(package.relative_to(CHECKOUT)))
    if checked != expected:
        sys.exit(f"mypy checked {checked} files, the package has {expected}")
    mypy("benchmarks", "notebooks", "tools")


if __name__ == "__main__":
    main()
