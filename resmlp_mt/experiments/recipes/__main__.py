"""`python -m resmlp_mt.experiments.recipes NAME` prints a config as options of fairseq-train, one per line.

The shell scripts of the image recipes use it. `--folder` prints the folder of the configs, for fairseq-hydra-train.
"""

from __future__ import annotations

import argparse
import sys

from resmlp_mt.experiments.recipes.training_config import CONFIG_FOLDER, config_names, read_config, train_options


def main() -> int:
    """Prints the options of a config, or the folder of the configs."""
    parser = argparse.ArgumentParser(
        prog="python -m resmlp_mt.experiments.recipes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("name", nargs="?", choices=config_names(), help="config")
    choice.add_argument("--folder", action="store_true", help="print the folder of the configs")
    args = parser.parse_args()
    if args.folder:
        print(CONFIG_FOLDER)
    else:
        config = read_config(args.name)
        config.pop("task.data")  # the first argument of fairseq-train, not an option
        print("\n".join(train_options(config)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
