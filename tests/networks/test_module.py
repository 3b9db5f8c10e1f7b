"""Torch modules of one's own: read by hooks as the module computes them step by step."""

from __future__ import annotations

import json
import os
import pickle
import textwrap

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from neuroalign.errors import ConfigError, NetworkError
from neuroalign.networks.families import layer_names, open_network
from neuroalign.networks.own.module import prepare
from neuroalign.settings import configfile
from neuroalign.settings.modules import Module

pytestmark = pytest.mark.usefixtures("one_thread")

CODE = """
import torch
from torch import nn


class Fire(nn.Module):
    def __init__(self, inputs, squeeze, expand):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.activation(self.squeeze(x))
        return self.activation(torch.cat([self.expand1(x), self.expand3(x)], 1))


class Squeeze(nn.Module):
    def __init__(self, width=4, classes=5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            Fire(width, 2, width),
            Fire(2 * width, 2, width),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(2 * width, classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x):
        return self.classifier(self.features(x))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.bn(self.conv(x))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Residual(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.fc = nn.Linear(2 * width, 7)
        self.conv1 = nn.Conv2d(3, width, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(width, width, 1), Block(width, width, 1))
        self.layer2 = nn.Sequential(Block(width, 2 * width, 2), Block(2 * width, 2 * width, 1))
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        x = self.relu(self.bn1(self.conv1(x)))
        return self.fc(self.layer2(self.layer1(x)).mean((2, 3)))


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = Residual()
        self.relu = nn.ReLU()
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.relu(self.head(self.relu(self.backbone(x))))


class Patches(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 8, 8)
        self.special = nn.Parameter(torch.randn(1, 2, 8))
        layer = lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.blocks = nn.ModuleList([layer(), layer()])

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.special.expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return {"tokens": x}


def squeeze(width=4, classes=5):
    return Squeeze(width, classes)


def residual():
    return Residual()


def wrapped():
    return Wrapped()


def patches():
    return Patches()


def no_module():
    return 3


def fails(number):
    raise RuntimeError("this\\nnever works")


class NoImages(nn.Module):
    def forward(self, x, y):
        return x
"""
SMALL = {"size": 40, "crop": 32}
LAYERS = {
    "squeeze": [
        *(f"features.{index}" for index in range(5)),
        "classifier.1",
        "classifier.2",
    ],
    "residual": ["conv1", "bn1", "relu", "layer1.0", "layer1.1", "layer2.0", "layer2.1", "fc"],
    "patches": ["patch", "blocks.0", "blocks.1"],
}
LAYERS["wrapped"] = [*(f"backbone.{name}" for name in LAYERS["residual"]), "head"]


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """A package of networks that can be imported, and a folder with their weights."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "lab_networks").mkdir()
    (folder / "lab_networks" / "__init__.py").touch()
    (folder / "lab_networks" / "nets.py").write_text(textwrap.dedent(CODE))
    (folder / "lab_networks" / "broken.py").write_text("import not_there_at_all")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        import lab_networks.nets as made

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            for name in LAYERS:
                model = getattr(made, name)()
                for module in model.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.running_mean.normal_()
                        module.running_var.uniform_(0.5, 2)
                safetensors.torch.save_file(model.state_dict(), folder / f"{name}.safetensors")
                torch.save(model.state_dict(), folder / f"{name}.pt")
        yield made, folder


def settings(nets, name, **changes):
    file = str(nets[1] / f"{name}.safetensors")
    keys = {"factory": f"lab_networks.nets:{name}", "file": file, "preprocessing": SMALL, "device": "cpu"}
    return Module(**{**keys, **changes})


def trained(nets, name):
    model = getattr(nets[0], name)()
    model.load_state_dict(safetensors.torch.load_file(nets[1] / f"{name}.safetensors"))
    return model.eval()


def pixels_of(items):
    """Second implementation of the preprocessing: size 40, crop 32, ImageNet's mean and deviation."""
    found = []
    for uri in items["uri"]:
        with Image.open(uri) as image:
            width, height = image.size
            short = min(width, height)
            to = [40 if side == short else int(40 * side / short) for side in (width, height)]
            image = image.convert("RGB").resize(to, Image.Resampling.BILINEAR)
            left, top = round((to[0] - 32) / 2), round((to[1] - 32) / 2)
            values = np.asarray(image.crop((left, top, left + 32, top + 32)), float) / 255
        values = (values - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        found.append(torch.tensor(values.transpose(2, 0, 1), dtype=torch.float32))
    return torch.stack(found)


def run(network, items):
    return network.run(network.windows(items))


@pytest.mark.parametrize("name", LAYERS)
def test_layers_by_default(nets, name):
    network = open_network(settings(nets, name))
    assert list(network.layers) == LAYERS[name] == layer_names(settings(nets, name))
    np.testing.assert_allclose(network.depth, np.linspace(0, 1, len(LAYERS[name])))


def test_residual_network_step_by_step(nets, pictures):
    model, pixels = trained(nets, "residual"), pixels_of(pictures)
    with torch.no_grad():
        truth = [model.conv1(pixels)]
        truth.append(model.bn1(truth[-1]).clone())  # before it is rectified in place
        truth.append(truth[-1].clamp(min=0))
        for block in (*model.layer1, *model.layer2):
            truth.append(block(truth[-1].clone()))
        truth.append(model.fc(truth[-1].mean((2, 3))))
    found = run(open_network(settings(nets, "residual", tokens=True, batch=3)), pictures)
    assert len(found) == 2 * len(truth)
    for place, values in enumerate(truth):
        flat = values[:, :, None] if values.ndim == 2 else values.flatten(2)  # (image, unit, place)
        np.testing.assert_allclose(found[place], flat.mean(2), atol=1e-5)
        np.testing.assert_allclose(found[len(truth) + place], flat.transpose(1, 2), atol=1e-5)


def test_squeeze_network_with_both_kinds_of_weights(nets, pictures):
    model, pixels = trained(nets, "squeeze"), pixels_of(pictures)
    with torch.no_grad():
        before = model.features[:4](pixels.clone())
        after = model(pixels.clone())
    files = [str(nets[1] / "squeeze.safetensors"), str(nets[1] / "squeeze.pt")]
    one, other = (run(open_network(settings(nets, "squeeze", file=file)), pictures) for file in files)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(one[3], before.mean((2, 3)), atol=1e-5)
    np.testing.assert_allclose(one[6], after, atol=1e-5)


def test_special_tokens_of_a_transformer_are_recognised(nets, pictures):
    model, pixels = trained(nets, "patches"), pixels_of(pictures)
    with torch.no_grad():
        last = model(pixels)["tokens"]
    network = open_network(settings(nets, "patches", tokens=True))
    found = run(network, pictures)
    np.testing.assert_allclose(found[2], last[:, 2:].mean(1), atol=1e-5)
    np.testing.assert_allclose(found[5], last[:, 2:], atol=1e-5)
    assert network.places[2].shape == (16, 2)
    chosen = settings(nets, "patches", pooling="class", layers=("blocks.1",))
    np.testing.assert_allclose(run(open_network(chosen), pictures)[0], last[:, 0], atol=1e-5)


def test_any_module_may_be_named(nets, pictures):
    model, pixels = trained(nets, "residual"), pixels_of(pictures)
    with torch.no_grad():
        entering = model.layer1(model.relu(model.bn1(model.conv1(pixels))))
        inside = model.layer2[0].conv(entering)
    network = open_network(settings(nets, "residual", layers=("layer2.0.conv", "depth:1", "layer1.*")))
    kept = [network.layers[index] for index in network.kept]
    assert kept == ["layer1.0", "layer1.1", "layer2.0.conv", "fc"]
    assert [network.depth[index] for index in network.kept] == [3 / 7, 4 / 7, 5 / 7, 1]
    found = run(network, pictures)
    np.testing.assert_allclose(found[2], inside.mean((2, 3)), atol=1e-5)
    # Where no layer that is offered fits, a pattern means modules.
    network = open_network(settings(nets, "residual", layers=("layer?.?.bn",)))
    assert [network.layers[index] for index in network.kept] == [
        "layer1.0.bn", "layer1.1.bn", "layer2.0.bn", "layer2.1.bn"
    ]  # fmt: skip


def test_random_weights_follow_the_seed(nets, pictures):
    drawn = settings(nets, "residual", weights="random", file=None)
    one, same, other = (run(open_network(drawn, seed), pictures)[3] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)
    assert settings(nets, "residual").twin() == settings(nets, "residual", weights="random")


def test_provenance(nets):
    first = open_network(settings(nets, "squeeze")).provenance
    assert len(first["weights_sha256"]) == len(first["code_sha256"]) == 64
    assert json.loads(first["preprocessing"])["crop"] == 32
    cropped = {**SMALL, "crop": 30}
    assert open_network(settings(nets, "squeeze", preprocessing=cropped)).provenance != first
    json.dumps(first)


def test_checkpoints_are_unwrapped(nets, tmp_path):
    state = trained(nets, "residual").state_dict()
    wrapped = {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "checkpoint.pth")
    network = open_network(settings(nets, "residual", file=str(tmp_path / "checkpoint.pth")))
    assert torch.equal(network.model.model.fc.weight, state["fc.weight"])


class Poison:
    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_poisoned_pickle_is_refused(nets, tmp_path):
    poison = Poison()
    poison.folder = str(tmp_path / "harm")
    for name, write in (("torch.pt", torch.save), ("plain.pth", plainly_pickled)):
        write({"weight": poison}, tmp_path / name)
        said = refused(nets, "residual", file=str(tmp_path / name))
        assert "code is never read from a file" in said or "not a torch file" in said
        assert not (tmp_path / "harm").exists()


def plainly_pickled(content, path):
    path.write_bytes(pickle.dumps(content))


def refused(nets, name, **changes):
    with pytest.raises(NetworkError) as caught:
        open_network(settings(nets, name, **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_factories_that_are_not_there(nets):
    def said(factory, **changes):
        return refused(nets, "residual", factory=factory, **changes)

    assert "no package 'timm' is installed; pip install it" in said(
        "timm:create_model", arguments={"model_name": "resnet50"}
    )
    assert "no package 'lab_networks.nest' is installed" in said("lab_networks.nest:residual")
    assert "needs 'not_there_at_all', which is not installed" in said("lab_networks.broken:residual")
    assert "has no function 'residua': did you mean 'residual'?" in said("lab_networks.nets:residua")
    assert "gives int; expected a torch.nn.Module" in said("lab_networks.nets:no_module")
    assert "fails with arguments {} (TypeError:" in said("lab_networks.nets:fails")
    assert "RuntimeError: this never works" in said("lab_networks.nets:fails", arguments={"number": 1})
    assert "NoImages cannot be shown images of (n, 3, 32, 32)" in said("lab_networks.nets:NoImages")


def test_weights_that_do_not_fit(nets, tmp_path):
    assert "no such file" in refused(nets, "residual", file=str(tmp_path / "gone.pt"))
    other = str(nets[1] / "squeeze.safetensors")
    said = refused(nets, "residual", file=other)
    assert "lacks" in said
    assert "such as 'fc.weight' and holds 16 others" in said
    wide = refused(nets, "squeeze", arguments={"width": 8})
    assert "has 'features.0.weight' as (4, 3, 3, 3), expected (8, 3, 3, 3)" in wide
    (tmp_path / "bad.safetensors").write_bytes(b"nothing")
    assert "not safetensors" in refused(nets, "residual", file=str(tmp_path / "bad.safetensors"))
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    refused(nets, "residual", file=str(tmp_path / "bad.pt"))
    torch.save([1, 2], tmp_path / "list.pt")
    assert "holds no state dict" in refused(nets, "residual", file=str(tmp_path / "list.pt"))
    (tmp_path / "weights.h5").touch()
    assert "expected .safetensors" in refused(nets, "residual", file=str(tmp_path / "weights.h5"))
    assert "expected 0000" in refused(nets, "residual", sha256="0000")


def test_layers_that_are_not_there(nets):
    assert "no layer 'layer3.0': did you mean 'layer" in refused(nets, "residual", layers=("layer3.0",))
    assert "no layer 'unused'" in refused(nets, "residual", layers=("unused",))
    assert "'relu' runs several times" in refused(nets, "wrapped", layers=("relu",))
    assert "no relative depth" in refused(nets, "residual", layers=("depth:2",))
    assert "no class token" in refused(nets, "residual", pooling="class")
    assert "none are asked for" in refused(nets, "residual", layers=())


def test_settings_that_make_no_sense(nets):
    def said(**keys):
        raw = {
            "dataset": {"path": "x", "task": "y"},
            "responses": {"kind": "volume"},
            "networks": {"own": {"family": "module", "factory": "a.b:c", **keys}},
        }
        with pytest.raises(ConfigError) as caught:
            configfile.parse(raw)
        return str(caught.value)

    assert "networks.own: weights: pretrained needs a file of weights" in said()
    assert "networks.own: arguments.pretrained lets the factory" in said(
        file="x.pt", arguments={"pretrained": True}
    )
    assert "networks.own.factory is 'a.b'" in said(file="x.pt", factory="a.b")
    assert "networks.own.preprocessing: crop is 300 but size is 256" in said(
        file="x.pt", preprocessing={"crop": 300}
    )
    assert "did you mean 'preprocessing'?" in said(file="x.pt", preprocesing={})


def test_preparation_keeps_a_plain_image_plain():
    image = np.full((300, 200, 3), 255, np.uint8)
    pixels = prepare(Module(factory="a:b", weights="random").preprocessing, [image, image])
    assert pixels.shape == (2, 3, 224, 224)
    expected = (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(pixels[0].numpy().mean((1, 2)), expected, rtol=1e-5)
    assert float(pixels.std((2, 3)).max()) < 1e-5
