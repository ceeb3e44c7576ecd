"""A Zarr store that looks at compressed chunks before they are decoded.

numcodecs lets Blosc read as many bytes as the head of a chunk says, whether there are so many or not: a chunk that was cut
short would end the process, or show what lies in memory behind it.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

from napari_wsimil.slides.backends.zarr_files import METADATA_NAMES

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

_HEAD = struct.Struct("<4xIII")
"""Of a Blosc chunk: four bytes of versions and flags, its bytes when decoded, bytes of a block, its bytes as stored."""


class CheckedStore(WrapperStore["Store"]):
    """Reads from another store; a Blosc chunk that can't be what it says raises `ValueError`."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._chunk_bytes: dict[str, int] = {}

    def watch(self, array: Any) -> None:
        """Check the chunks of a zarr array from now on, if Blosc is all that compresses them.

        Chunks within shards are not seen here, so they go unchecked.
        """
        kinds = [type(codec).__name__ for codec in array.compressors]
        if [kind.removesuffix("Codec") for kind in kinds] == ["Blosc"] and array.shards is None:
            self._chunk_bytes[f"{array.path}/"] = math.prod(array.chunks) * array.dtype.itemsize

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """See `zarr.abc.store.Store.get`."""
        found = await super().get(key, prototype, byte_range)
        if found is not None and byte_range is None and key.rpartition("/")[2] not in METADATA_NAMES:
            wanted = next((size for path, size in self._chunk_bytes.items() if key.startswith(path)), None)
            if wanted is not None:
                _check(found.to_bytes(), wanted)
        return found


def _check(chunk: bytes, wanted: int) -> None:
    if len(chunk) < 16:
        raise ValueError("the chunk is cut short")
    decoded, _, stored = _HEAD.unpack(chunk[:16])
    if decoded != wanted or stored > len(chunk):
        raise ValueError(f"the chunk claims {stored} bytes and has {len(chunk)}, for {decoded} of {wanted} values")
