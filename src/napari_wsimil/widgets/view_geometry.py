"""Where the canvas looks on a slide, in level-0 pixels, and how to point it elsewhere.

napari's camera has its centre in world units and its zoom in canvas pixels per world unit. A layer may be scaled, rotated or
given in other units than the world, and the slide may be seen from aside in 3D: all of that is minded here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

MARGIN = 0.05
"""Share of the canvas left free around a slide that is shown whole; napari's own."""

STEEPEST = 0.02
"""Cosine between line of sight and the slide's normal below which the slide is seen edge-on and has no view to mark."""


def view_corners(viewer: Any, layer: Any) -> Floats | None:
    """The four corners of the canvas on the slide, in order around it.

    Returns
    -------
    (4, 2) float (x, y) in level-0 pixels, which may lie outside the slide; None where the canvas does not show the plane of
    the slide.
    """
    world = _canvas_on_plane(viewer)
    if world is None:
        return None
    data = np.array([layer.world_to_data(point / _units(viewer, layer)) for point in world])
    # napari puts the centre of pixel 0 at 0.
    return data[:, ::-1] + 0.5


def on_slide(viewer: Any, layer: Any, slide_layer: Any, points: Floats) -> Floats:
    """Where points of another layer lie on a slide, however the two are placed, scaled or turned.

    Parameters
    ----------
    points
        (n, 2) float (row, column) in the data of `layer`; of a layer with more axes, the last two.

    Returns
    -------
    (n, 2) float (x, y) in level-0 pixels.
    """
    ahead = np.zeros(layer.ndim - 2)

    def place(point: tuple[float, float]) -> Floats:
        world = np.asarray(layer.data_to_world((*ahead, *point)))[-2:] * _units(viewer, layer)
        return np.asarray(slide_layer.world_to_data(world / _units(viewer, slide_layer)))[-2:]

    # All of it is affine: where the origin and the two axes go tells where everything goes.
    origin, down, right = place((0.0, 0.0)), place((1.0, 0.0)), place((0.0, 1.0))
    data = origin + np.asarray(points, float) @ np.array([down - origin, right - origin])
    # napari puts the centre of pixel 0 at 0.
    return data[:, ::-1] + 0.5


def centre_on(viewer: Any, layer: Any, x: float, y: float) -> None:
    """Put the level-0 pixel (x, y) of a slide layer into the middle of the canvas; the zoom stays."""
    plane = np.asarray(layer.data_to_world((y - 0.5, x - 0.5))) * _units(viewer, layer)
    point = np.zeros(viewer.dims.ndim)
    point[-2:] = plane
    shown = [float(point[axis]) for axis in viewer.dims.displayed]
    viewer.scene.camera.center = (0.0,) * (3 - len(shown)) + tuple(shown)


def screen_pixel(viewer: Any, layer: Any, mpp: tuple[float, float] | None) -> float | None:
    """How much of the slide a canvas pixel shows.

    Parameters
    ----------
    mpp
        (x, y) µm per level-0 pixel of the slide, or None.

    Returns
    -------
    float
        µm per canvas pixel, or level-0 pixels per canvas pixel for a slide without mpp; None where the slide is not in view.
    """
    corners = view_corners(viewer, layer)
    if corners is None:
        return None
    side = (corners[1] - corners[0]) * (mpp or (1.0, 1.0))
    return float(np.hypot(*side)) / max(viewer.canvas.viewbox_size(viewer.layers)[1], 1)


def zoom_by(viewer: Any, layer: Any, factor: float, about: tuple[float, float] | None = None) -> None:
    """Magnify the view, keeping the level-0 pixel `about` where it is on the canvas (without it, the middle)."""
    corners = view_corners(viewer, layer)
    viewer.scene.camera.zoom *= factor
    if about is not None and corners is not None:
        x, y = about + (corners.mean(axis=0) - about) / factor
        centre_on(viewer, layer, x, y)


def fit_slide(viewer: Any, layer: Any, width: int, height: int) -> None:
    """Show the whole slide of width x height level-0 pixels, seen from where it is seen now."""
    corners = view_corners(viewer, layer)
    if corners is None:
        viewer.reset_view(layers=[layer])
        return
    slide = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    sides = np.array([corners[1] - corners[0], corners[3] - corners[0]])
    shares = np.ptp(slide @ np.linalg.inv(sides), axis=0)
    viewer.scene.camera.zoom *= (1 - MARGIN) / float(shares.max())
    centre_on(viewer, layer, width / 2, height / 2)


def _canvas_on_plane(viewer: Any) -> Floats | None:
    """The corners of the canvas on the plane that slides lie in, (4, 2) world (row, column) from the top left clockwise."""
    camera, dims = viewer.scene.camera, viewer.dims
    height, width = np.asarray(viewer.canvas.viewbox_size(viewer.layers), float) / camera.zoom
    corners = np.array([(-1, -1), (-1, 1), (1, 1), (1, -1)]) * (height / 2, width / 2)
    if dims.ndisplay == 2:
        if set(dims.displayed) != {dims.ndim - 2, dims.ndim - 1}:
            return None
        shown = corners + np.asarray(camera.center[-2:])
        return shown if dims.displayed[0] < dims.displayed[1] else shown[:, ::-1]
    sight, up = np.asarray(camera.view_direction), np.asarray(camera.up_direction)
    if abs(sight[0]) < STEEPEST or tuple(dims.displayed[-2:]) != (dims.ndim - 2, dims.ndim - 1):
        return None
    points = np.asarray(camera.center) - corners[:, :1] * up + corners[:, 1:] * np.cross(sight, up)
    on_plane: Floats = points - points[:, :1] / sight[0] * sight
    return on_plane[:, -2:]


def _units(viewer: Any, layer: Any) -> Floats:
    """World units per unit of the layer, for rows and columns: napari's world has the smallest unit of all layers."""
    world = viewer.layers.units
    if world is None or tuple(world[-2:]) == tuple(layer.units[-2:]):
        return np.ones(2)
    return np.array([(1 * own).to(unit).magnitude for own, unit in zip(layer.units[-2:], world[-2:], strict=True)])
