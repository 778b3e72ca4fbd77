"""`python -m models_app.client` is `modelry`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
