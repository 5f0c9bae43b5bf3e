"""`python -m resmlp_mt.experiments.recommend`."""

import sys

from resmlp_mt.experiments.recommend.recommendation import main

sys.exit(main())
