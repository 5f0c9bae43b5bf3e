"""Every known data set is read in its official file format, here with small files."""

import functools
import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading

import numpy as np
import pytest
import scipy.io
from PIL import Image

from resmlp_mt.common.errors import ResMLPError
from resmlp_mt.vision.data import dataset_files
from resmlp_mt.vision.data.datasets import DATASETS, load_classes, load_dataset


def write_image(path, grey=0, size=(7, 5)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)
    return path


def grey_values(images):
    """The grey value and label of every image."""
    return [(images[i][0].convert("L").getpixel((1, 1)), images[i][1]) for i in range(len(images))]


def test_unknown_dataset_or_split_is_refused(tmp_path):
    with pytest.raises(ResMLPError, match="'mnist' is unknown; choose one of folder, digits, cifar10, .*imagenet"):
        load_dataset("mnist", tmp_path, "train")
    with pytest.raises(ResMLPError, match="digits has no split 'test'; choose one of train, valid"):
        load_dataset("digits", tmp_path, "test")


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_missing_dataset_is_one_line(name, tmp_path):
    with pytest.raises(ResMLPError) as error:
        load_dataset(name, tmp_path / "nowhere", "train")
    assert "nowhere" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


class TestFolder:
    @pytest.fixture
    def root(self, tmp_path):
        write_image(tmp_path / "train" / "zebra" / "a.png", 10)
        write_image(tmp_path / "train" / "ape" / "deep" / "b.PNG", 20)
        write_image(tmp_path / "train" / "ape" / "c.bmp", 30)
        (tmp_path / "train" / "ape" / "notes.txt").write_text("no image")
        write_image(tmp_path / "train" / ".cache" / "d.png")
        write_image(tmp_path / "val" / "zebra" / "e.png", 40)
        return tmp_path

    def test_subfolders_are_classes_and_other_files_are_ignored(self, root):
        images = load_dataset("folder", root, "train")
        assert images.classes == ["ape", "zebra"]
        assert grey_values(images) == [(30, 0), (20, 0), (10, 1)]
        assert images.name_of(2) == str(root / "train" / "zebra" / "a.png")

    def test_labels_are_the_same_in_every_split(self, root):
        assert grey_values(load_dataset("folder", root, "valid")) == [(40, 1)]  # there is no ape in val/
        assert load_classes("folder", root) == ["ape", "zebra"]

    def test_validation_folder_may_be_named_valid(self, root):
        (root / "val").rename(root / "valid")
        assert grey_values(load_dataset("folder", root, "valid")) == [(40, 1)]

    def test_validation_folder_alone_defines_the_classes(self, tmp_path):
        write_image(tmp_path / "val" / "zebra" / "e.png", 40)
        assert load_classes("folder", tmp_path) == ["zebra"]

    def test_cyclic_links_are_not_followed(self, root):
        (root / "val" / "zebra" / "again").symlink_to(root / "val")
        assert len(load_dataset("folder", root, "valid")) == 1

    def test_unusual_file_names_are_kept(self, tmp_path):
        names = sorted(["a b.png", "ä.png", "日本\n.png"])
        for name in names:
            write_image(tmp_path / "val" / "zebra" / name)
        images = load_dataset("folder", tmp_path, "valid")
        assert [images.name_of(i) for i in range(3)] == [str(tmp_path / "val" / "zebra" / name) for name in names]
        assert images[2][1] == 0

    def test_class_without_training_images_is_refused(self, root):
        write_image(root / "val" / "yak" / "f.png")
        with pytest.raises(ResMLPError, match="yak"):
            load_dataset("folder", root, "valid")

    def test_missing_split_is_named(self, root):
        with pytest.raises(ResMLPError, match="contains no test/"):
            load_dataset("folder", root, "test")

    def test_empty_folders_are_named(self, tmp_path):
        (tmp_path / "train").mkdir()
        with pytest.raises(ResMLPError, match="has no sub-folders"):
            load_dataset("folder", tmp_path, "train")
        (tmp_path / "train" / "ape").mkdir()
        with pytest.raises(ResMLPError, match="contains no images"):
            load_dataset("folder", tmp_path, "train")


class TestDigits:
    def test_split_is_stratified_and_fixed(self):
        parts = {split: load_dataset("digits", "", split) for split in ("train", "valid")}
        assert {split: len(images) for split, images in parts.items()} == {"train": 1442, "valid": 355}
        for digit in range(10):
            train, valid = (images.labels.count(digit) for images in parts.values())
            assert valid == (train + valid) // 5
        digest = [hashlib.sha256(images.pixels.tobytes()).hexdigest()[:8] for images in parts.values()]  # type: ignore[attr-defined]  # an ArraySet
        assert digest == ["503377f9", "747b8e40"]  # the split never changes

    def test_images_equal_scikit_learn(self):
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        ours = [load_dataset("digits", "", split) for split in ("train", "valid")]
        together = sorted((bytes(part.pixels[i].ravel()), part.labels[i]) for part in ours for i in range(len(part)))  # type: ignore[attr-defined]  # an ArraySet
        whole = (pixels * 255 / 16).round().astype(np.uint8)
        assert together == sorted((bytes(row), label) for row, label in zip(whole, labels.tolist(), strict=True))

    def test_mean_and_std_are_of_the_training_split(self):
        values = load_dataset("digits", "", "train").pixels / 255  # type: ignore[attr-defined]  # an ArraySet
        known = DATASETS["digits"].preprocessing
        assert known.mean == (pytest.approx(values.mean(), abs=1e-3),)  # type: ignore[comparison-overlap]  # pytest.approx
        assert known.std == (pytest.approx(values.std(), abs=1e-3),)  # type: ignore[comparison-overlap]  # pytest.approx


CIFAR = {"cifar10": ("cifar-10-batches-bin", 1), "cifar100": ("cifar-100-binary", 2)}


def cifar_files(name):
    """Files of CIFAR's binary version with 2 images each, and the pixels and labels of the training split."""
    generator = np.random.default_rng(1)
    folder, labels_each = CIFAR[name]
    trains = [f"data_batch_{i}.bin" for i in range(1, 6)] if name == "cifar10" else ["train.bin"]
    files, pixels, labels = {}, [], []
    for file in [*trains, "test_batch.bin" if name == "cifar10" else "test.bin"]:
        content = b""
        for _ in range(2):
            image, label = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8), int(generator.integers(0, 3))
            content += bytes([9] * (labels_each - 1) + [label]) + image.transpose(2, 0, 1).tobytes()
            if file in trains:
                pixels.append(image)
                labels.append(label)
        files[file] = content
    names = "batches.meta.txt" if name == "cifar10" else "fine_label_names.txt"
    files[names] = b"airplane\nautomobile\nbird\n\n"
    return folder, files, pixels, labels


def write_cifar(root, name):
    folder, files, pixels, labels = cifar_files(name)
    (root / folder).mkdir(parents=True)
    for file, content in files.items():
        (root / folder / file).write_bytes(content)
    return root / folder, pixels, labels


@pytest.mark.parametrize("name", CIFAR)
class TestCifar:
    def test_binary_version_is_read(self, name, tmp_path):
        _, pixels, labels = write_cifar(tmp_path, name)
        images = load_dataset(name, tmp_path, "train")
        assert images.classes == ["airplane", "automobile", "bird"]
        assert images.labels == labels
        for index, expected in enumerate(pixels):
            np.testing.assert_array_equal(np.asarray(images[index][0]), expected)
        assert len(load_dataset(name, tmp_path, "valid")) == 2

    def test_truncated_file_is_named(self, name, tmp_path):
        folder, *_ = write_cifar(tmp_path, name)
        file = sorted(folder.glob("*test*.bin"))[0]
        file.write_bytes(file.read_bytes()[:-7])
        with pytest.raises(ResMLPError, match=f"{file.name} has .* bytes, which is not a multiple of the record size"):
            load_dataset(name, tmp_path, "valid")

    def test_label_out_of_range_is_refused(self, name, tmp_path):
        folder, *_ = write_cifar(tmp_path, name)
        next(folder.glob("*.txt")).write_text("airplane\n")
        with pytest.raises(ResMLPError, match="has the label 1, but only 1 classes"):
            load_dataset(name, tmp_path, "train")

    def test_pickles_are_not_read(self, name, tmp_path):
        class Trap:
            def __reduce__(self):
                return (open, (str(tmp_path / "ran"), "w"))

        for folder, file in (("cifar-10-batches-py", "data_batch_1"), ("cifar-100-python", "train")):
            (tmp_path / folder).mkdir()
            (tmp_path / folder / file).write_bytes(pickle.dumps(Trap()))
        with pytest.raises(ResMLPError, match="is missing; add --download"):
            load_dataset(name, tmp_path, "train")
        assert not (tmp_path / "ran").exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A local web server and the folder that it serves."""
    shown = tmp_path / "shown"
    shown.mkdir()
    handler = functools.partial(Quiet, directory=str(shown))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", shown
        running.shutdown()


class TestDownload:
    def archive(self, shown):
        folder, files, _, labels = cifar_files("cifar10")
        path = shown / "cifar-10-binary.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{folder}/{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return hashlib.md5(path.read_bytes()).hexdigest(), labels

    def point_to(self, monkeypatch, url, md5):
        monkeypatch.setattr(dataset_files, "_CIFAR_URL", url + "/{}")
        row = ("cifar-10-binary.tar.gz", md5, "cifar-10-batches-bin")
        monkeypatch.setitem(dataset_files._CIFAR, "cifar10", row)

    def test_missing_dataset_is_downloaded(self, server, tmp_path, monkeypatch):
        url, shown = server
        md5, labels = self.archive(shown)
        self.point_to(monkeypatch, url, md5)
        assert load_dataset("cifar10", tmp_path / "data", "train", download=True).labels == labels

    def test_wrong_checksum_is_refused(self, server, tmp_path, monkeypatch):
        url, shown = server
        self.archive(shown)
        self.point_to(monkeypatch, url, "0" * 32)
        with pytest.raises(ResMLPError, match="the files of cifar10 are not in"):
            load_dataset("cifar10", tmp_path / "data", "train", download=True)
        assert not (tmp_path / "data" / "cifar-10-batches-bin").exists()

    def test_failed_download_names_the_folder(self, tmp_path, monkeypatch):
        self.point_to(monkeypatch, "http://127.0.0.1:9", "0" * 32)
        with pytest.raises(ResMLPError, match="copy them there") as error:
            load_dataset("cifar10", tmp_path / "data", "train", download=True)
        assert len(str(error.value).splitlines()) == 1
        assert str(tmp_path / "data") in str(error.value)


def test_flowers_splits(tmp_path, monkeypatch):
    """Training uses `trnid` and `valid`; validation uses `tstid`."""
    import torchvision.datasets.flowers102

    monkeypatch.setattr(torchvision.datasets.flowers102, "check_integrity", lambda *_args: True)
    folder = tmp_path / "flowers-102"
    for number in range(1, 7):
        write_image(folder / "jpg" / f"image_{number:05d}.jpg", 10 * number)
    scipy.io.savemat(folder / "setid.mat", {"trnid": [[1, 3]], "valid": [[2, 4]], "tstid": [[5, 6]]})
    scipy.io.savemat(folder / "imagelabels.mat", {"labels": [[1, 2, 102, 4, 5, 6]]})
    train = load_dataset("flowers102", tmp_path, "train")
    assert len(train.classes) == 102
    assert grey_values(train) == [(10, 0), (30, 101), (20, 1), (40, 3)]
    assert grey_values(load_dataset("flowers102", tmp_path, "valid")) == [(50, 4), (60, 5)]


def test_cars_splits(tmp_path):
    folder = tmp_path / "stanford_cars"
    kind = [("fname", object), ("class", object)]
    for part, marks in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        pairs = [(f"{part}{number}.jpg", number) for number in (1, 2)]
        for name, number in pairs:
            write_image(folder / f"cars_{part}" / name, 10 * number)
        (folder / marks).parent.mkdir(exist_ok=True, parents=True)
        scipy.io.savemat(folder / marks, {"annotations": np.array(pairs, dtype=kind)})
    scipy.io.savemat(folder / "devkit" / "cars_meta.mat", {"class_names": np.array(["Audi", "BMW"], dtype=object)})
    for split in ("train", "valid"):
        images = load_dataset("cars", tmp_path, split)
        assert images.classes == ["Audi", "BMW"]
        assert grey_values(images) == [(10, 0), (20, 1)]
        assert ("train" if split == "train" else "test") in images.name_of(0)


class TestInat:
    def write(self, root, year, split, name="Plantae/7/a.png"):
        lists = {
            "categories": [{"id": 5, "name": "Quercus"}, {"id": 3, "name": "Acer"}],
            "images": [{"id": 70, "file_name": f"train_val{year}/{name}"}],
            "annotations": [{"image_id": 70, "category_id": 5}],
        }
        write_image(root / f"train_val{year}" / "Plantae" / "7" / "a.png", 50)
        (root / f"{split}{year}.json").write_text(json.dumps(lists))

    @pytest.mark.parametrize("year", [2018, 2019])
    def test_official_lists_define_the_splits(self, year, tmp_path):
        self.write(tmp_path, year, "train")
        images = load_dataset(f"inat{year}", tmp_path, "train")
        assert images.classes == ["Acer", "Quercus"]
        assert grey_values(images) == [(50, 1)]
        with pytest.raises(ResMLPError, match=rf"the list of images .*val{year}\.json is missing"):
            load_dataset(f"inat{year}", tmp_path, "valid")

    def test_path_outside_the_folder_is_refused(self, tmp_path):
        self.write(tmp_path, 2018, "train", "../../secret.png")
        with pytest.raises(ResMLPError, match="which is outside"):
            load_dataset("inat2018", tmp_path, "train")

    def test_damaged_list_is_named(self, tmp_path):
        (tmp_path / "train2018.json").write_text('{"images": []}')
        with pytest.raises(ResMLPError, match=r"train2018\.json is not a list of iNaturalist 2018"):
            load_dataset("inat2018", tmp_path, "train")


class TestImagenet:
    @pytest.fixture
    def root(self, tmp_path):
        for number in range(12):
            write_image(tmp_path / "train" / f"n{number:08d}" / "a.png", number)
        write_image(tmp_path / "val" / "n00000001" / "ILSVRC2012_val_00000002.png", 2)
        write_image(tmp_path / "val" / "n00000010" / "ILSVRC2012_val_00000001.png", 1)
        write_image(tmp_path / "val" / "n00000010" / "ILSVRC2012_val_00000003.png", 3)
        return tmp_path

    def test_folders_are_synsets(self, root):
        assert grey_values(load_dataset("imagenet", root, "valid")) == [(2, 1), (1, 10), (3, 10)]

    def test_real_labels_may_be_several_or_none(self, root):
        """The labels are in the order of the image numbers; images without a label are left out."""
        (root / "real.json").write_text("[[4, 7], [], [10]]")
        assert grey_values(load_dataset("imagenet", root, "real")) == [(1, (4, 7)), (3, (10,))]

    def test_wrong_number_of_real_labels_is_refused(self, root):
        (root / "real.json").write_text("[[4, 7]]")
        with pytest.raises(ResMLPError, match=r"real\.json has labels for 1 images, but val/ has 3"):
            load_dataset("imagenet", root, "real")

    def test_imagenet_v2_labels_are_folder_numbers(self, root):
        for label in (10, 9, 1):  # as text, 10 stands before 9
            write_image(root / "imagenetv2-matched-frequency-format-val" / str(label) / "a.png", label)
        assert grey_values(load_dataset("imagenet", root, "v2")) == [(1, 1), (9, 9), (10, 10)]
