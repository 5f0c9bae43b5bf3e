"""ResMLP sequence-to-sequence models: a fairseq plugin and a toolkit around it.

With `fairseq-train DATA --user-dir resmlp_mt --arch resmlp_wmt_en_de` fairseq imports this package, which then repairs
what is broken in the installed fairseq and registers its models. Imported by itself it loads neither fairseq nor torch.
"""

import sys

from resmlp_mt.common.version import __version__

__all__ = ["__version__", "register_with_fairseq"]


def register_with_fairseq() -> None:
    """Repairs the installed fairseq and registers every model, task and criterion of this package with it.

    Happens by itself when fairseq is loaded before this package, as `--user-dir` does. Safe to call again.
    """
    from resmlp_mt import fairseq_plugin

    fairseq_plugin.register()


if "fairseq" in sys.modules:
    register_with_fairseq()
