"""Write a study as large as one likes, to measure what its jobs need.

python benchmarks/large_study.py FOLDER --targets 300000 --samples 1000 --units 512
snakemake --cores 2 --configfile FOLDER/study.yaml
neuroalign plan FOLDER/study.yaml --measured

Responses are a random mixture of features made elsewhere, plus noise: plain arrays, a trial in each row.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import yaml

BLOCK = 4096


def write_study(folder: Path, subjects: int, targets: int, samples: int, units: int, memory: str) -> Path:
    """Write arrays, their tables and a config; the path of the config is returned."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    words = [f"word{number:05d}" for number in range(samples)]
    features = rng.standard_normal((samples, units), dtype=np.float32)
    np.save(folder / "features.npy", features)
    (folder / "words.tsv").write_text("\n".join(["item", *words]) + "\n")
    labels = [f"{number:02d}" for number in range(1, subjects + 1)]
    for label in labels:
        path = folder / f"sub-{label}.npy"
        data = np.lib.format.open_memmap(path, "w+", np.float32, (samples, targets))
        for start in range(0, targets, BLOCK):
            stop = min(start + BLOCK, targets)
            weights = rng.standard_normal((units, stop - start), dtype=np.float32) / np.sqrt(units)
            noise = rng.standard_normal((samples, stop - start), dtype=np.float32)
            data[:, start:stop] = features @ weights + noise
        rows = [f"{word}\t{1 + place * 5 // samples}" for place, word in enumerate(words)]
        (folder / f"sub-{label}.tsv").write_text("\n".join(["text\trun", *rows]) + "\n")
    study = {
        "title": f"{targets} targets, {samples} samples, {units} units",
        "output": str(folder / "results"),
        "dataset": {"path": str(folder), "task": "words", "subjects": labels},
        "networks": {
            "made": {
                "family": "features",
                "path": str(folder / "features.npy"),
                "items": str(folder / "words.tsv"),
            }
        },
        "responses": {"kind": "array", "path": "sub-{subject}.npy", "items": "sub-{subject}.tsv"},
        "design": {"folds": {"by": "item", "n": 4}},
        "inference": {"permutations": 199},
        "resources": {"memory": memory},
    }
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study, sort_keys=False))
    return config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, default in {"subjects": 1, "targets": 300_000, "samples": 1000, "units": 512}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", default="8 GB")
    given = vars(parser.parse_args())
    print(write_study(**given))
