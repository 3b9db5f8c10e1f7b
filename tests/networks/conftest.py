"""Tiny image models saved with their image processors, and a few images, for the tests of networks."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image

SHAPE = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
CUT = {"image_size": 32, "patch_size": 8}
DINO = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "mlp_ratio": 2, **CUT}

CONFIGURATIONS = {
    "vit": lambda: transformers.ViTConfig(**SHAPE, **CUT),
    "dinov2": lambda: transformers.Dinov2Config(**DINO),
    "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersConfig(**DINO, num_register_tokens=4),
    "clip": lambda: transformers.CLIPConfig(
        text_config={**SHAPE, "vocab_size": 20, "bos_token_id": 0, "eos_token_id": 1},
        vision_config={**SHAPE, **CUT},
        projection_dim=8,
    ),
    "clip_vision_model": lambda: transformers.CLIPVisionConfig(**SHAPE, **CUT),
    "siglip_vision_model": lambda: transformers.SiglipVisionConfig(**SHAPE, **CUT),
    "beit": lambda: transformers.BeitConfig(**SHAPE, **CUT),
    "convnext": lambda: transformers.ConvNextConfig(
        hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1], image_size=32
    ),
    "resnet": lambda: transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1], layer_type="bottleneck"
    ),
    "swin": lambda: transformers.SwinConfig(
        embed_dim=8, depths=[1, 1, 1], num_heads=[1, 1, 2], image_size=32, patch_size=4, window_size=2
    ),
}
"""A tiny model of every architecture."""

PROCESSORS = {
    "dinov2": lambda: transformers.BitImageProcessorPil(
        size={"shortest_edge": 36}, crop_size={"height": 32, "width": 32}
    ),
    "clip": lambda: transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ),
    "convnext": lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": 32}),
}
"""Its image processor, where that is not plain resizing."""


def save_model(folder, kind):
    """Save a tiny model with lively weights and its image processor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = transformers.AutoModel.from_config(CONFIGURATIONS[kind]())
        for name, values in model.named_parameters():
            # What is initialised to zero or one would hide what is left out.
            values.data += 0.1 * torch.randn_like(values) * (1 if "logit" not in name else 0)
    model.save_pretrained(folder)
    plain = PROCESSORS.get(kind, lambda: transformers.ViTImageProcessorPil(size={"height": 32, "width": 32}))
    plain().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def image_models(tmp_path_factory):
    """Folder of a tiny saved image model, by architecture; each is made once."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = save_model(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return get


@pytest.fixture(scope="session")
def image_items():
    """Makes the items table of some images."""

    def make(uris):
        table = pd.DataFrame({"item": range(len(uris)), "uri": [str(uri) for uri in uris]})
        table["digest"] = [hashlib.sha256(Path(uri).read_bytes()).hexdigest()[:16] for uri in uris]
        return table.assign(passage=0, position=table["item"], sentence=0, modality="image", text="")

    return make


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, image_items):
    """Items table of seven images of different shapes; the last shows what the second does."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    shapes = [(40, 50), (64, 48), (32, 32), (90, 33), (33, 90), (50, 50)]
    paths = [folder / f"{number}.png" for number in range(len(shapes))]
    for path, (rows, columns) in zip(paths, shapes, strict=True):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC).save(path)
    shutil.copy(paths[1], folder / "again.png")
    return image_items([*paths, folder / "again.png"])
