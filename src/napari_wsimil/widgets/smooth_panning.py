"""napari's asynchronous rendering, on as long as a slide is open: the window does not wait for the tiles."""

from __future__ import annotations

import weakref
from typing import Any

from napari.settings import get_settings
from napari.utils.notifications import show_info

from napari_wsimil.widgets.preferences import preferences

TOLD = (
    'napari\'s setting "Render Layers Asynchronously" is on while a slide is open, so that panning stays smooth, and goes '
    'back afterwards. To leave it alone, clear "Smooth panning" in Preferences, Plugins, Whole-slide MIL.'
)


class SmoothPanning:
    """Switches the setting on for the first slide layer, and back when the last one is gone.

    The setting belongs to the user: where they, or an environment variable, have decided, it is left as it is; and what is
    switched on here never gets into napari's settings file, so that nothing remains of it after a crash.
    """

    def __init__(self) -> None:
        self._layers: dict[int, weakref.ref[Any]] = {}
        self._on = False
        self._switching = False
        self._users = False

    def add(self, layer: Any) -> None:
        """A slide layer came into a viewer."""
        key = id(layer)
        # A window closed by its frame drops its layers without saying so.
        self._layers[key] = weakref.ref(layer, lambda _: self._forget(key))
        preferences().events.smooth_panning.connect(self._follow)
        self._follow()

    def remove(self, layer: Any) -> None:
        """A slide layer was taken out of its viewer."""
        self._forget(id(layer))

    def _forget(self, key: int) -> None:
        self._layers.pop(key, None)
        self._follow()
        if not self._layers:
            self._users = False

    def _follow(self, _: Any = None) -> None:
        wanted = bool(self._layers) and preferences().smooth_panning
        if wanted and not self._on and not self._users:
            self._switch_on()
        elif not wanted and self._on:
            self._switch_off()

    def _switch_on(self) -> None:
        settings = get_settings()
        if settings.experimental.async_ or "async_" in settings.env_settings.get("experimental", {}):
            return
        # napari leaves what the environment has set out of its file.
        settings.env_settings.setdefault("experimental", {})["async_"] = True
        self._set(True)
        self._on = True
        settings.experimental.events.async_.connect(self._changed)
        if preferences().tell_smooth_panning:
            preferences().tell_smooth_panning = False
            show_info(TOLD)

    def _switch_off(self) -> None:
        self._let_go()
        self._set(False)

    def _changed(self, _: Any) -> None:
        """The setting was changed by somebody else: from now on it is theirs."""
        if self._switching or not self._on:
            return
        self._let_go()
        self._users = True
        settings = get_settings()
        if settings.config_path:
            settings.save()

    def _let_go(self) -> None:
        settings = get_settings()
        self._on = False
        settings.experimental.events.async_.disconnect(self._changed)
        settings.env_settings.get("experimental", {}).pop("async_", None)

    def _set(self, value: bool) -> None:
        self._switching = True
        try:
            get_settings().experimental.async_ = value
        finally:
            self._switching = False


smooth_panning = SmoothPanning()
"""The setting is one for all viewers, and so is this."""
