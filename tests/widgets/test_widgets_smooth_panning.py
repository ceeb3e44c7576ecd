"""napari's asynchronous rendering is borrowed while a slide is open, and given back. No window."""

from __future__ import annotations

import gc

import pytest
from napari.settings import NapariSettings

from napari_wsimil.widgets.smooth_panning import TOLD, SmoothPanning


class Thing:
    """Stands for a layer."""


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """napari's settings, in a file of the test."""
    made = NapariSettings(config_path=tmp_path / "settings.yaml")
    monkeypatch.setattr("napari.settings._SETTINGS", made)
    return made


def stored(settings) -> str:
    return settings.config_path.read_text() if settings.config_path.exists() else ""


def test_on_from_the_first_slide_to_the_last(settings):
    switch, first, second = SmoothPanning(), Thing(), Thing()
    states = []
    for change, thing in ((switch.add, first), (switch.add, second), (switch.remove, first), (switch.remove, second)):
        change(thing)
        states.append(settings.experimental.async_)
    assert states == [True, True, True, False]
    switch.add(first)
    assert settings.experimental.async_, "a layer that came back"


def test_nothing_of_it_gets_into_the_settings_file(settings):
    switch, layer = SmoothPanning(), Thing()
    switch.add(layer)
    settings.appearance.theme = "light"
    assert settings.experimental.async_
    assert "light" in stored(settings)
    assert "async" not in stored(settings), "a crash now must not leave it on"
    switch.remove(layer)
    assert "async" not in stored(settings)
    assert NapariSettings(config_path=settings.config_path).experimental.async_ is False


@pytest.mark.parametrize("last", [True, False])
def test_what_the_user_sets_meanwhile_stays_and_is_saved(settings, last):
    switch, layer, another = SmoothPanning(), Thing(), Thing()
    switch.add(layer)
    settings.experimental.async_ = False
    switch.add(another)
    assert settings.experimental.async_ is False, "not switched on behind the user's back"
    settings.experimental.async_ = last
    switch.remove(layer)
    switch.remove(another)
    assert settings.experimental.async_ is last
    assert NapariSettings(config_path=settings.config_path).experimental.async_ is last


def test_a_setting_that_was_on_stays_on(settings, told):
    settings.experimental.async_ = True
    switch, layer = SmoothPanning(), Thing()
    switch.add(layer)
    switch.remove(layer)
    assert settings.experimental.async_
    assert "async_: true" in stored(settings)
    assert told() == []


def test_the_environment_decides(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_ASYNC", "0")
    settings = NapariSettings(config_path=tmp_path / "settings.yaml")
    monkeypatch.setattr("napari.settings._SETTINGS", settings)
    switch, layer = SmoothPanning(), Thing()
    switch.add(layer)
    assert settings.experimental.async_ is False


def test_the_preference_takes_effect_at_once(settings, own_preferences):
    own_preferences.smooth_panning = False
    switch, layer = SmoothPanning(), Thing()
    switch.add(layer)
    states = [settings.experimental.async_]
    for wanted in (True, False):
        own_preferences.smooth_panning = wanted
        states.append(settings.experimental.async_)
    assert states == [False, True, False]


def test_it_is_said_once_for_ever(settings, told, own_preferences):
    own_preferences.tell_smooth_panning = True
    for _ in range(2):
        switch, layer = SmoothPanning(), Thing()
        switch.add(layer)
        switch.remove(layer)
    assert told() == [TOLD]
    assert own_preferences.tell_smooth_panning is False


def test_layers_that_vanish_with_their_window(settings):
    switch, layer = SmoothPanning(), Thing()
    switch.add(layer)
    del layer
    gc.collect()
    assert settings.experimental.async_ is False
