"""Record the outputs anew whose number in `medlabel.versions` was raised; refuse all others."""

import sys

from .outputs import GOLDEN
from .recording import NotRaisedError, record


def main() -> int:
    """Record all that may be recorded; returns 1 where something was refused."""
    refused = 0
    for name, golden in GOLDEN.items():
        try:
            outcome = record(name, golden)
        except NotRaisedError as error:
            outcome, refused = str(error), 1
        sys.stdout.write(f"{name}: {outcome}\n")
    return refused


if __name__ == "__main__":
    sys.exit(main())
