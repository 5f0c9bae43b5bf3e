"""Study on digits: images, commands, dependencies between trainings, and table of results."""

import json

import pytest
from PIL import Image
from recipes import resolved_command

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.experiments.processes import CommandError
from resmlp_mt.experiments.study import digits as study_digits
from resmlp_mt.experiments.study.entries import ENTRIES, PREREQUISITES
from resmlp_mt.experiments.study.images import write_images

pytestmark = pytest.mark.usefixtures("fairseq_plugin")


def image_files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png"))


def test_image_sets_and_class_balance(tmp_path):
    write_images(tmp_path / "one", 3, seed=1)
    sets = {path.name: image_files(path) for path in (tmp_path / "one").iterdir()}
    counts = {
        name: [sum(f.startswith(part) for f in names) for part in ("train", "val")] for name, names in sets.items()
    }
    low, high = counts["0 to 4"], counts["few of 5 to 9"]
    assert counts["all"] == [1442, 355]
    assert counts["few"] == [30, 355]
    assert (high[0], low[1] + high[1]) == (15, 355)
    assert {path.split("/")[1] for path in sets["few of 5 to 9"]} == set("56789")
    assert set(sets["few"]) < set(sets["all"])
    with Image.open(tmp_path / "one" / "all" / sets["all"][0]) as image:
        assert (image.size, image.mode) == ((8, 8), "L")


def test_few_labels_depend_only_on_seed(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        write_images(tmp_path / name, 3, seed)
    one, again, two = (image_files(tmp_path / name / "few") for name in ("one", "again", "two"))
    assert one == again != two


def test_images_are_written_atomically(tmp_path):
    (tmp_path / "one.partial" / "left").mkdir(parents=True)
    with pytest.raises(ResMLPError, match="--few must be a whole number from 1 to"):
        write_images(tmp_path / "one", 10**6, 1)
    assert not (tmp_path / "one").exists()
    write_images(tmp_path / "one", 1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
    assert not (tmp_path / "one" / "left").exists()


class FakeCommands:
    """Runs nothing and writes results as `resmlp-mt vision` does. The trainings in `broken` fail."""

    def __init__(self, broken=()):
        self.broken, self.trained = broken, []

    def stop(self):
        pass

    def run(self, log, _threads, *args):
        name, seed = log.parent.parent.name, int(log.parent.name[-1])
        if args[0] == "fairseq-train":
            if name in self.broken:
                raise CommandError("it fell over")
            self.trained.append(args)
            return
        random_network = "--untrained" in args
        answer = {
            "evaluate": {"top1": {"share": 0.5 + seed / 100}},
            "knn": {"k": {"10": {"top1": 20 if random_network else 70}}},
            "linear-probe": {"top1": 60 if random_network else 90},
        }[args[2]]
        args[args.index("--json") + 1].write_text(json.dumps(answer))


def run_study(tmp_path, monkeypatch, commands, *args):
    monkeypatch.setattr(study_digits, "Commands", lambda: commands)
    output = tmp_path / "result.json"
    monkeypatch.setattr(
        "sys.argv",
        ["study_digits.py", "--work", str(tmp_path / "work"), "--output", str(output), "--seeds", "1", "2", *args],
    )
    return study_digits.study(study_digits.parse_arguments()), output


def test_study_trains_everything_once_and_writes_table(tmp_path, monkeypatch, capsys):
    commands = FakeCommands()
    status, output = run_study(tmp_path, monkeypatch, commands)
    entries = (*ENTRIES, *PREREQUISITES)
    assert (status, len(commands.trained)) == (0, 2 * len(entries))
    table = output.with_suffix(".md").read_text()
    assert table in capsys.readouterr().out
    assert "| all 1,442 labels, 580 updates | mixing: none | 51.5 | 0.7 | 51.0, 52.0 |" in table
    assert "| 20 labels, 580 updates | distilled, hard labels | 51.5 " in table
    assert "| digits 5 to 9, 10 labels, 100 updates | after digits 0 to 4 |" in table
    assert "| no labels, 1,500 updates | random features, k-NN (k = 10) | 20.0 | 0.0 | 20.0, 20.0 |" in table
    assert output.with_suffix(".png").exists()
    assert output.with_suffix(".svg").exists()
    run_study(tmp_path, monkeypatch, commands)
    assert len(commands.trained) == 2 * len(entries)  # nothing is done twice


def test_commands_are_valid_and_follow_their_prerequisites(tmp_path, monkeypatch):
    commands = FakeCommands()
    run_study(tmp_path, monkeypatch, commands, "--seeds", "1")
    done = set()
    for args in commands.trained:
        given = resolved_command([str(arg) for arg in args[1:]])
        prerequisite = given["model"].get("init_from") or given["criterion"].get("teacher")
        assert prerequisite is None or prerequisite in done
        done.add(f"{given['checkpoint']['save_dir']}/checkpoint_last.pt")
    assert sum(arg in ("--init-from", "--teacher") for args in commands.trained for arg in args) == 6


def test_failed_training_is_left_out_with_its_dependents(tmp_path, monkeypatch, capsys):
    status, output = run_study(tmp_path, monkeypatch, FakeCommands(broken=("mixing_conv",)))
    table = output.with_suffix(".md").read_text()
    assert status == 1
    assert "convolution (the teacher)" not in table
    assert "distilled" not in table
    assert "| alone |" in table
    assert "mixing_conv, seed 1, failed and is left out: it fell over" in capsys.readouterr().err


def test_other_settings_in_same_folder_are_refused(tmp_path, monkeypatch):
    run_study(tmp_path, monkeypatch, FakeCommands())
    with pytest.raises(ResMLPError, match="holds a training with other settings"):
        run_study(tmp_path, monkeypatch, FakeCommands(), "--updates", "7")
