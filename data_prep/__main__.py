"""Entry point of `python -m data_prep`."""

import sys

from data_prep.command_line import main

# Worker processes import this module again under another name; only the main process runs the command.
if __name__ == "__main__":
    sys.exit(main())
