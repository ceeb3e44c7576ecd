"""Our pipeline and peers side by side: one slide at 40x, every patch of 256 px at 20x, the same network and preprocessing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predict_ours import alone, extraction, module_alone, patches_at
from predict_page import EXACT, PLAIN, SCALED
from predict_peers import peers
from predict_slides import every_patch, slide_40x
from predict_turns import Measured, Way, once, take_turns

if TYPE_CHECKING:
    from predict_networks import Network

IN_MEMORY = {"ResNet-18": 128, "global mean": 512}
"""Patches that the encoder alone encodes."""
LIMITS = (
    "encoder alone: the module",
    "encoder alone: the module, channels last",
    "encoder alone: ours, fp32",
    "encoder alone: ours",
)


def measure(network: Network, side: int, rounds: int, device: str) -> dict[str, Measured]:
    """Every contestant in every round; peers have made their imports on a small slide before."""
    slide, corners = slide_40x(side), every_patch(side)
    tiny = slide_40x(2048)
    for way in peers(network, tiny, every_patch(2048)):
        for run in way.settings.values():
            once(run)
    tuned = network.encoder.to(device).tuned("auto")
    print(f"{network.name}: {tuned.tuning}")
    pixels = patches_at(slide, corners, min(len(corners), IN_MEMORY[network.name]))
    plain, half = LIMITS[2:]
    ways = [alone(plain, network.encoder.to(device), pixels)]
    if tuned.precision != "fp32":
        ways.append(alone(half, tuned, pixels))
    if any(True for _ in network.module.parameters()):
        for name, last in zip(LIMITS[:2], (False, True), strict=True):
            ways.append(module_alone(name, network, pixels, device, channels_last=last))
    for name, precision, resampling in ((EXACT, "auto", "area"), (SCALED, "auto", "dct"), (PLAIN, "fp32", "area")):
        run = extraction(slide, network.encoder, device=device, precision=precision, resampling=resampling)
        ways.append(Way(name, {"": run}, len(corners), ours=True, precision=tuned.precision if precision == "auto" else "fp32"))
    return take_turns([*ways, *peers(network, slide, corners)], rounds)
