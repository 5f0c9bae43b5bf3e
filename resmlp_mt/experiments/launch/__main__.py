"""`python -m resmlp_mt.experiments.launch`."""

import sys

from resmlp_mt.experiments.launch.command import main

sys.exit(main())
