"""`python -m explain photo.jpg`: see explain/cli.py."""

import sys

from explain.cli import main

if __name__ == "__main__":
    sys.exit(main())
