"""What stands around a model card on a hub, and the card without it."""

from __future__ import annotations

import re

USE = """<!-- use -->
## Use

In napari, with the plugin [napari-wsimil](https://pypi.org/project/napari-wsimil/), or in Python:

```python
import napari_wsimil as ws

ws.predict("slide.svs", "hf:{name}")
```
<!-- /use -->
"""
_USE = re.compile(r"\n*<!-- use -->.*?<!-- /use -->", re.DOTALL)
_HEADER = re.compile(r"\A---\r?\n.*?\r?\n---\r?\n\s*", re.DOTALL)


def without_header(card: str) -> str:
    """A card without what was written around it for a hub."""
    return _USE.sub("", _HEADER.sub("", card))
