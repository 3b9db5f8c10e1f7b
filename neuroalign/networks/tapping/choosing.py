"""Which places of a network are read: layers by name, by pattern, by relative depth, by module path."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from neuroalign.errors import NetworkError, choices
from neuroalign.networks.tapping.taps import Tap
from neuroalign.settings.networks import Layers

BY_DEPTH = "depth:"

MOST_LISTED = 40
"""Of more layers a message names only the nearest."""


@dataclass(frozen=True)
class Offer:
    """What can be read of a network.

    Attributes
    ----------
    taps : sequence of Tap
        What "all", patterns and depths choose from.
    others : sequence of Tap
        More layers that are known by name.
    order : sequence of str
        Paths of all modules, by when they answer.
    make : callable
        Makes a tap of a module path, or raises a NetworkError.
    prefix : str
        What goes before a module path to make its name.
    """

    taps: Sequence[Tap]
    others: Sequence[Tap]
    order: Sequence[str]
    make: Callable[[str], Tap]
    prefix: str = ""

    def choose(self, wanted: Layers) -> tuple[tuple[Tap, ...], tuple[int, ...]]:
        """Find the layers that the config asks for.

        Parameters
        ----------
        wanted : "all" or tuple of str
            Names of layers; patterns with ``*`` and ``?``; ``depth:0.5`` for all layers at the block that
            is nearest to that relative depth; or paths of any modules. A pattern is held against the
            layers offered, against the modules only where it fits none of these.

        Returns
        -------
        taps : tuple of Tap
            Layers offered and asked for, by depth.
        kept : tuple of int
            Places of those asked for.

        Raises
        ------
        NetworkError
            A name fits nothing.
        """
        chosen = list(self.taps)
        if wanted != "all":
            if not wanted:
                names = ", ".join(tap.name for tap in self.taps)
                raise NetworkError(f"layers: none are asked for; write 'all' or some of {names}")
            chosen = [tap for entry in wanted for tap in self._fitting(entry)]
        rank = {path: place for place, path in enumerate(self.order)}
        taps = sorted(
            {tap.name: tap for tap in (*self.taps, *chosen)}.values(),
            key=lambda tap: (tap.depth, rank.get(tap.path, -1), tap.side == "output", tap.part[0]),
        )
        asked = {tap.name for tap in chosen}
        return tuple(taps), tuple(place for place, tap in enumerate(taps) if tap.name in asked)

    def _fitting(self, entry: str) -> list[Tap]:
        """Layers that one entry of `layers` asks for."""
        named = {tap.name: tap for tap in (*self.others, *self.taps)}
        modules = {self.prefix + path: path for path in self.order}
        if entry in named:
            return [named[entry]]
        if entry.startswith(BY_DEPTH):
            return self._at_depth(entry)
        if entry in modules:
            return [self.make(modules[entry])]
        if "*" in entry or "?" in entry:
            pattern = entry.replace("[", "[[]")  # brackets belong to the names of heads
            for known in ([tap.name for tap in self.taps], named, modules):
                found = [name for name in known if fnmatch.fnmatchcase(name, pattern)]
                if found:
                    return [named.get(name) or self.make(modules[name]) for name in found]
        offered = [tap.name for tap in self.taps]
        if len(offered) > MOST_LISTED:
            offered = difflib.get_close_matches(entry, offered, MOST_LISTED // 4, cutoff=0)
        raise NetworkError(f"the network has no layer '{entry}': {choices(entry, offered)}")

    def _at_depth(self, entry: str) -> list[Tap]:
        try:
            depth = float(entry.removeprefix(BY_DEPTH))
        except ValueError:
            depth = -1.0
        if not 0 <= depth <= 1:
            raise NetworkError(f"layers: '{entry}' is no relative depth; write depth:0 to depth:1")
        nearest = min((tap.depth for tap in self.taps), key=lambda at: (round(abs(at - depth), 9), at))
        return [tap for tap in self.taps if tap.depth == nearest]


def depth_of(path: str, spine: Sequence[str], order: Sequence[str]) -> float:
    """Relative depth of a module: that of the layer it is part of, else of the last layer before it.

    >>> depth_of("h.0.mlp", ["wte", "h.0", "h.1"], ["wte", "h.0.mlp", "h.0", "h.1", "ln_f"])
    0.5
    >>> depth_of("ln_f", ["wte", "h.0", "h.1"], ["wte", "h.0.mlp", "h.0", "h.1", "ln_f"])
    1.0
    """
    last = max(len(spine) - 1, 1)
    for index, layer in enumerate(spine):
        if path == layer or path.startswith(f"{layer}."):
            return index / last
    before = set(order[: order.index(path)])
    return max(sum(layer in before for layer in spine) - 1, 0) / last
