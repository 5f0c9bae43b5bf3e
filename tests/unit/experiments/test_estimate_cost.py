"""Invalid options of the cost estimate are reported in one line."""

import pytest

from resmlp_mt.experiments.estimate_cost import GPUS, parse_arguments


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--price", "B200", "3"], "GPU must be one of T4, L4, V100, A100, H100, but is 'B200'"),
        (["--price", "T4", "cheap"], "DOLLARS must be a number from 0 on, but is 'cheap'"),
        (["--price", "T4", "-1"], "DOLLARS must be a number from 0 on, but is '-1'"),
        (["--price", "T4", "nan"], "DOLLARS must be a number from 0 on, but is 'nan'"),
        (["--updates", "-5"], "argument --updates: must be a whole number from 1 on, but is '-5'"),
        (["--updates", "0"], "argument --updates: must be a whole number from 1 on, but is '0'"),
        (["--batch", "1.5"], "argument --batch: must be a whole number from 1 on, but is '1.5'"),
        (["--tokens-per-gpu", "0"], "argument --tokens-per-gpu: must be a whole number from 1 on"),
        (["--vocabulary", "3"], "argument --vocabulary: must be a whole number from 100 on, but is '3'"),
    ],
)
def test_invalid_option_is_one_line(args, message, capsys):
    with pytest.raises(SystemExit) as error:
        parse_arguments(args)
    err = capsys.readouterr().err
    assert error.value.code == 2
    assert message in err
    assert err.count("\n") == 1


def test_price_option_replaces_default():
    _, prices = parse_arguments(["--price", "T4", "0.25", "--price", "H100", "0"])
    assert prices == {**{name: gpu.price for name, gpu in GPUS.items()}, "T4": 0.25, "H100": 0.0}
