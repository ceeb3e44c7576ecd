"""Feature files in the layouts of TRIDENT and CLAM, made as those tools do."""

from __future__ import annotations

import h5py
import numpy as np
import torch

RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(6, 8)).astype(np.float32)
# column by column, as TRIDENT did before 2026
XY = np.array([(column * 512, row * 512) for column in (3, 4) for row in (1, 2, 5)], np.int64)


def trident(path, features=FEATURES, xy=XY, **marks):
    """A file as TRIDENT 0.3 writes it: one-row chunks, everything it knows as attributes of the coordinates."""
    known = {
        "patch_size": 256,
        "patch_size_level0": 512.0,
        "level0_magnification": 40,
        "target_magnification": 20,
        "overlap": 0,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features, chunks=(1, features.shape[1]), maxshape=(None, features.shape[1]))
        file["features"].attrs.update(encoder="uni_v1", name=path.stem, savetodir="None")
        file.create_dataset("coords", data=xy, chunks=(1, 2), maxshape=(None, 2))
        file["coords"].attrs.update({**known, "level0_width": 4000, "level0_height": 4000, "name": path.stem, **marks})
    return path


def clam(folder, name="slide", features=FEATURES, xy=XY):
    """What CLAM leaves of one slide: an HDF5 file without any attribute, and the features alone as a tensor."""
    for part in ("h5_files", "pt_files"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "h5_files" / f"{name}.h5", "w") as file:
        file.create_dataset("features", data=features, chunks=(32, features.shape[1]), maxshape=(None, features.shape[1]))
        file.create_dataset("coords", data=xy.astype(np.int32), chunks=(32, 2), maxshape=(None, 2))
    torch.save(torch.from_numpy(features), folder / "pt_files" / f"{name}.pt")
    return folder
