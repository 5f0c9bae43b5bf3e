"""`python -m resmlp_mt.experiments.study`."""

import sys

from resmlp_mt.experiments.study.digits import main

sys.exit(main())
