"""Where every artefact of a study lies below its output folder.

The patterns hold wildcards in braces, so that Snakemake's rules and the command line share them.
"""

from __future__ import annotations

CONFIG = "config.yaml"
PLAN = "plan.tsv"
INDEX = "index.parquet"
ITEMS = "stimuli/items.parquet"
EVENTS = "stimuli/events.parquet"
ACTIVATIONS = "activations/{network}.zarr"
RESPONSES = "responses/sub-{subject}.nc"
SCORES = "scores/sub-{subject}_network-{network}_encoder-{encoder}.nc"
PREDICTIONS = "predictions/sub-{subject}_network-{network}_encoder-{encoder}.nc"
CEILING = "ceiling/sub-{subject}.nc"
INFERENCE = "inference/sub-{subject}_network-{network}_encoder-{encoder}.nc"
SUMMARY = "summary/sub-{subject}_network-{network}_encoder-{encoder}.nc"
GROUP = "group/network-{network}_encoder-{encoder}.nc"
TIMING = "timing/sub-{subject}_network-{network}_encoder-{encoder}.nc"
TIMING_GROUP = "timing/group_network-{network}_encoder-{encoder}.nc"
RECONSTRUCTION = "reconstruction/sub-{subject}_network-{network}.nc"
PROMPTS = "prompts/sub-{subject}_network-{network}_encoder-ridge.nc"
PROMPTS_GROUP = "prompts/group_network-{network}_encoder-ridge.nc"
MAPS = "maps"
REPORT = "report"
TRUTH = "derivatives/truth/desc-truth_statmap.nc"
"""Below the dataset, not the output: what a simulated study was made from."""

NUISANCE = "nuisance"
"""The name under which the nuisance-only control is fitted, beside the networks."""

AVERAGE = "average"
"""The name of the subject that is the mean of all subjects."""
