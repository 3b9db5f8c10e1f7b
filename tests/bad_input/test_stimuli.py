"""Images, sound and arrays that are damaged, monstrous, or lie where nobody may look."""

from __future__ import annotations

import struct
import wave
import zlib

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

IMAGES, TARGETS = 12, 3
CHECK, STIMULI, NET = ("check",), ("stimuli",), ("activations", "--network", "net")
RESPONSES = ("responses", "--subject", "01")


def png(width, height):
    """A picture of a few bytes that claims any size."""

    def chunk(kind, content):
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture
def shown(story):
    """A study of betas in an array: twelve images of two runs, one subject."""
    rng = np.random.default_rng(1)
    folder = story.data / "images"
    folder.mkdir()
    for number in range(IMAGES):
        Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    np.save(story.data / "betas-01.npy", rng.standard_normal((2 * IMAGES, TARGETS)))
    table = pd.DataFrame({"item": [f"images/{n}.png" for n in range(IMAGES)] * 2, "run": ["1", "2"] * IMAGES})
    table.to_csv(story.data / "items-01.tsv", sep="\t", index=False)
    story.config = {
        "output": str(story.out),
        "dataset": {"path": str(story.data), "task": "images", "subjects": ["01"]},
        "networks": {"net": {"family": "handmade", "features": ["luminance"]}},
        "responses": {"kind": "array", "path": "betas-{subject}.npy", "items": "items-{subject}.tsv"},
    }
    return story


def show(study, name):
    """Let the third trial and its repeat show another file."""
    path = study.data / "items-01.tsv"
    path.write_text(path.read_text().replace("images/2.png", name))


def test_well_before(shown, run):
    assert run("check", shown.save()).status == 0
    for command in (("index",), STIMULI, NET, RESPONSES):
        ran = run(command[0], shown.save(), *command[1:])
        assert ran.status == 0, ran.err


FILES = {
    "missing": None,
    "empty": b"",
    "text": b"this is no picture",
    "head-only": b"\x89PNG\r\n\x1a\n",
    "bomb": png(60_000, 60_000),
    "largest": png(2**31 - 1, 2**31 - 1),
    "just-too-large": png(10_001, 10_001),
    "script": b"<svg><script>alert(1)</script></svg>",
}


@pytest.mark.parametrize("command", [CHECK, STIMULI], ids=lambda command: command[0])
@pytest.mark.parametrize("name", FILES)
def test_an_image_that_is_none(shown, refused, run, name, command):
    path = shown.data / "images/2.png"
    path.unlink()
    if FILES[name] is not None:
        path.write_bytes(FILES[name])
    assert run("index", shown.save()).status == 0
    refused(shown, *command, named=("images/2.png",))


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_image_is_not_shown(shown, refused, run, damage):
    path = shown.data / "images/2.png"
    content = bytearray(path.read_bytes())
    path.write_bytes(
        content[: len(content) // 2] if damage == "cut" else content[:60] + b"\0" * 40 + content[100:]
    )
    assert run("index", shown.save()).status == run("stimuli", shown.save()).status == 0
    refused(shown, *NET, named=("images/2.png",))


OUTSIDE = [
    "../../../../../../etc/passwd",
    "/etc/passwd",
    "images/../../secret.png",
    "link.png",
    "linked/2.png",
]


@pytest.mark.parametrize("command", [CHECK, STIMULI], ids=lambda command: command[0])
@pytest.mark.parametrize("name", [*OUTSIDE, "../secret.h5::a[0]", "/etc/secret.h5::a[0]", "link.h5::a[0]"])
def test_a_path_that_leaves_the_dataset(shown, refused, run, name, command):
    Image.new("RGB", (8, 8)).save(shown.folder / "secret.png")
    with h5py.File(shown.folder / "secret.h5", "w") as file:
        file["a"] = np.zeros((2, 8, 8, 3), np.uint8)
    (shown.data / "link.png").symlink_to(shown.folder / "secret.png")
    (shown.data / "link.h5").symlink_to(shown.folder / "secret.h5")
    (shown.folder / "elsewhere").mkdir()
    Image.new("RGB", (8, 8)).save(shown.folder / "elsewhere/2.png")
    (shown.data / "linked").symlink_to(shown.folder / "elsewhere")
    show(shown, name)
    assert run("index", shown.save()).status == 0
    refused(shown, *command, named=(name.partition("::")[0], "out of"))


@pytest.mark.parametrize("kind", ["external", "storage", "virtual", "soft", "shape", "number", "none"])
def test_a_stack_that_is_not_its_own(shown, refused, run, kind):
    secret = shown.folder / "secret.h5"
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with h5py.File(secret, "w") as file:
        file["a"] = images
    with h5py.File(shown.data / "stack.h5", "w") as file:
        if kind == "external":
            file["a"] = h5py.ExternalLink(str(secret), "a")
        elif kind == "storage":
            file.create_dataset("a", images.shape, "u1", external=[("/etc/passwd", 0, images.size)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout(images.shape, "u1")
            layout[:] = h5py.VirtualSource(str(secret), "a", images.shape)
            file.create_virtual_dataset("a", layout)
        elif kind == "soft":
            file["a"] = h5py.SoftLink("/nowhere")
        elif kind == "shape":
            file["a"] = np.zeros((2, 8), np.uint8)
        elif kind == "number":
            file["a"] = images[:1]
    show(shown, "stack.h5::a[1]")
    path = shown.data / "items-01.tsv"
    path.write_text(path.read_text())
    assert run("index", shown.save()).status == 0
    refused(shown, *STIMULI, named=("stack.h5",))


def test_events_may_not_leave_either(story, refused, run):
    (story.data / "stimuli").mkdir()
    text = story.events().read_text().replace("word3\n", "../../etc/passwd\n")
    story.events().write_text(text)
    story.set("stimuli", {"modality": "image", "column": "word"})
    story.set("networks", {"net": {"family": "handmade", "features": ["luminance"]}})
    assert run("index", story.save()).status == 0
    for command in (CHECK, STIMULI):
        refused(story, *command, named=("../../etc/passwd", "out of"))


def array_of(kind):
    rng = np.random.default_rng(0)
    good = rng.standard_normal((2 * IMAGES, TARGETS))
    return {
        "pickle": np.array([{"a": 1}] * 2 * IMAGES, dtype=object),
        "words": np.array([["a"] * TARGETS] * 2 * IMAGES),
        "complex": good.astype(complex),
        "flat": good[:, 0],
        "deep": good[None],
        "no-rows": good[:0],
        "no-columns": good[:, :0],
        "fewer": good[:-1],
        "more": np.concatenate([good, good]),
        "times": np.zeros((2 * IMAGES, TARGETS), "datetime64[s]"),
    }[kind]


@pytest.mark.parametrize("command", [CHECK, RESPONSES], ids=lambda command: command[0])
@pytest.mark.parametrize(
    "kind",
    ["pickle", "words", "complex", "flat", "deep", "no-rows", "no-columns", "fewer", "more", "times"],
)
def test_an_array_that_does_not_fit(shown, refused, run, kind, command):
    np.save(shown.data / "betas-01.npy", array_of(kind), allow_pickle=True)
    assert run("index", shown.save()).status == 0
    refused(shown, *command, named=("betas-01.npy",))


def huge_header(path):
    """An array of ten terabytes, by its header alone."""
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (2 * IMAGES, 10**11 // 2)}
        )


BYTES = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "garbage": lambda path: path.write_bytes(b"garbage" * 100),
    "header-only": lambda path: path.write_bytes(path.read_bytes()[:128]),
    "ten-terabytes": huge_header,
    "a-zip": lambda path: (
        np.savez(path.with_suffix(".npz"), a=np.zeros(3)),
        path.with_suffix(".npz").replace(path),
    ),
    "away": lambda path: path.unlink(),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "code-in-the-header": lambda path: path.write_bytes(
        path.read_bytes().replace(b"'fortran_order': False", b"'fortran_order': exit()")
    ),
}


@pytest.mark.parametrize("command", [CHECK, RESPONSES], ids=lambda command: command[0])
@pytest.mark.parametrize("damage", BYTES)
def test_an_array_that_is_damaged(shown, refused, run, damage, command):
    BYTES[damage](shown.data / "betas-01.npy")
    assert run("index", shown.save()).status == 0
    refused(shown, *command, named=("betas-01.npy",))


@pytest.mark.parametrize("damage", BYTES)
def test_features_that_are_damaged(story, refused, run, damage):
    BYTES[damage](story.folder / "features.npy")
    for command in (("index",), STIMULI):
        assert run(command[0], story.save()).status == 0
    for command in (CHECK, NET):
        refused(story, *command, named=("features.npy",))


@pytest.mark.parametrize(
    "kind", ["pickle", "words", "flat", "deep", "no-rows", "no-columns", "fewer", "more"]
)
def test_features_that_do_not_fit(story, refused, run, kind):
    np.save(story.folder / "features.npy", array_of(kind), allow_pickle=True)
    for command in (("index",), STIMULI):
        assert run(command[0], story.save()).status == 0
    for command in (CHECK, NET):
        refused(story, *command, named=("features.npy",))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers(story, refused, run, value):
    made = np.load(story.folder / "features.npy")
    made[7, 2] = value
    np.save(story.folder / "features.npy", made)
    for command in (("index",), STIMULI):
        assert run(command[0], story.save()).status == 0
    refused(story, *NET, named=("features.npy", "row 7"))


TABLES = {
    "empty": b"",
    "no-column": b"name\n" + b"word\n" * 54,
    "twice": b"item\n" + b"word\n" * 54,
    "latin-1": b"item\n" + "Köln\n".encode("latin-1") * 54,
    "fewer": b"item\nword0\n",
    "zero": b"item\n" + b"a\0b\n" * 54,
}


@pytest.mark.parametrize("name", TABLES)
def test_names_of_features_that_do_not_fit(story, refused, run, name):
    (story.folder / "items.tsv").write_bytes(TABLES[name])
    for command in (("index",), STIMULI):
        assert run(command[0], story.save()).status == 0
    for command in (CHECK, NET):
        refused(story, *command, named=("items.tsv",))


ITEMS = {
    "empty": (b"", "empty"),
    "neither": (b"what\nx\n", "'item'"),
    "both": (b"item\ttext\na\tb\n", "'item'"),
    "blank": (b"item\timage\n\tx\n", "line 2"),
    "bad-run": (b"item\trun\nimages/1.png\t../x\n", "../x"),
    "control": (b"item\nimages/1\x07.png\n", "line 2"),
    "column-twice": (b"item\titem\na\tb\n", "'item'"),
}


@pytest.mark.parametrize("name", ITEMS)
def test_a_table_of_trials_that_says_nothing(shown, refused, run, name):
    content, named = ITEMS[name]
    (shown.data / "items-01.tsv").write_bytes(content)
    assert run("index", shown.save()).status == 0
    for command in (CHECK, STIMULI, RESPONSES):
        refused(shown, *command, named=("items-01.tsv", named))


def sound(path, seconds):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\0\0" * int(8000 * seconds))


SOUNDS = {
    "no-samples": lambda path: sound(path, 0),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: (sound(path, 2), path.write_bytes(path.read_bytes()[:900])),
    "text": lambda path: path.write_text("la la la"),
    "picture": lambda path: path.write_bytes(png(8, 8)),
    "a-list-of-files": lambda path: path.write_text("ffconcat version 1.0\nfile /etc/passwd\n"),
    "a-list-of-sounds": lambda path: (
        sound(path.with_name("secret.wav"), 2),
        path.write_text("ffconcat version 1.0\nfile secret.wav\n"),
    ),
    "a-playlist-of-sounds": lambda path: (
        sound(path.with_name("secret.wav"), 2),
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.wav\n#EXT-X-ENDLIST\n"),
    ),
    "a-playlist": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_a_sound_that_is_none(story, refused, run, name):
    (story.data / "stimuli").mkdir()
    for number in range(60):
        sound(story.data / f"stimuli/word{number}", 0.6)
    (story.data / "stimuli/word3").unlink()
    SOUNDS[name](story.data / "stimuli/word3")
    story.set("stimuli", {"modality": "audio", "column": "word"})
    story.set("networks", {"net": {"family": "handmade", "features": ["envelope"]}})
    assert run("index", story.save()).status == 0
    refused(story, *STIMULI, named=("word3",))
