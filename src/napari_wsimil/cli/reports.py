"""What the command line prints, for programs and for people."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from napari_wsimil.inference import SlidePrediction
    from napari_wsimil.mil import Method
    from napari_wsimil.packages import Calibration, InstalledModel
    from napari_wsimil.slides import Slide


def describe_slide(slide: Slide) -> dict[str, Any]:
    """Return JSON-able facts of a slide; names of its other images, never their pixels."""
    return {
        "path": str(slide.path),
        "backend": slide.backend,
        "vendor": slide.vendor,
        "width": slide.width,
        "height": slide.height,
        "mpp": slide.mpp,
        "mpp_source": slide.mpp_source,
        "objective_power": slide.objective_power,
        "levels": [asdict(level) for level in slide.levels],
        "associated_images": list(slide.associated_images),
        "colour_profile": slide.icc_profile is not None,
        "fingerprint": slide.fingerprint,
        "notices": list(slide.notices),
        "properties": dict(slide.properties),
    }


def slide_text(about: Mapping[str, Any]) -> str:
    """Put what `describe_slide` found in lines for people."""
    pixel = "not stated" if about["mpp"] is None else "{:.4g} x {:.4g} µm ({})".format(*about["mpp"], about["mpp_source"])
    lines = [
        about["path"],
        f"  size         {about['width']} x {about['height']} px",
        f"  pixel        {pixel}",
        f"  scanner      {about['vendor'] or 'unknown'}, objective {about['objective_power'] or 'unknown'}",
        f"  read with    {about['backend']}",
        f"  fingerprint  {about['fingerprint']}",
        *(f"  level {at['index']:<6} {at['width']} x {at['height']} px, 1/{at['downsample']:g}" for at in about["levels"]),
        f"  also holds   {', '.join(about['associated_images']) or 'no other images'}",
    ]
    return "\n".join(lines)


def describe_result(path: Path, prediction: SlidePrediction, files: Sequence[Path]) -> dict[str, Any]:
    """Return JSON-able facts of a prediction."""
    return {
        "slide": str(path),
        "predicted_class": prediction.predicted_class,
        "probabilities": dict(prediction.probabilities),
        "calibration": prediction.provenance.get("calibration"),
        "patches": {f"{mpp:g}": len(scores) for mpp, scores in prediction.attention.items()},
        "seconds": prediction.provenance["seconds"]["total"],
        "files": [str(file) for file in files],
    }


def slide_name(about: Mapping[str, Any]) -> str:
    """File name of the slide that a result is of."""
    return PurePath(about["slide"]).name


def result_text(about: Mapping[str, Any]) -> str:
    """Put what `describe_result` found in a line of probabilities and one of files."""
    numbers = ", ".join(f"{name} {value:.3f}" for name, value in about["probabilities"].items())
    patches = sum(about["patches"].values())
    calibrated = ", calibrated" if about["calibration"] else ""
    written = ", ".join(about["files"])
    return f"{slide_name(about)}: {numbers}{calibrated}  ({patches} patches, {about['seconds']:.1f} s)\n  wrote {written}"


def describe_model(model: InstalledModel) -> dict[str, Any]:
    """Return JSON-able facts of an installed model."""
    spec = model.spec.model_dump(mode="json") if model.spec is not None else None
    return {
        "name": model.name,
        "title": model.title,
        "origin": model.origin,
        "folder": str(model.folder),
        "spec": spec,
        "problem": model.problem,
    }


def model_text(model: InstalledModel) -> str:
    """Put an installed model in lines for people."""
    if model.spec is None:
        return f"{model.name}\n  can't be used: {model.problem}"
    spec, mpps = model.spec, ", ".join(f"{mpp:g}" for mpp in model.spec.mpps)
    return (
        f"{model.name}\n  {spec.title or spec.id}: {spec.method}, classes {', '.join(spec.classes)}, {mpps} µm per pixel\n"
        f"  encoder {spec.encoder.id}, from {model.folder}\n  {calibration_text(spec.calibration)}"
    )


def calibration_text(calibration: Calibration | None) -> str:
    """Whether the probabilities of a model were calibrated, and on how many slides."""
    if calibration is None:
        return "probabilities not calibrated"
    if not calibration.scales:
        return f"probabilities not calibrated. {calibration.note}".strip()
    return f"probabilities calibrated on {calibration.cases} slides (temperature {calibration.temperature:.2f})"


def describe_method(method: Method) -> dict[str, Any]:
    """Return JSON-able facts of a MIL method, its hyper-parameters and the settings of its training."""
    from napari_wsimil.training.recipes import RECIPES

    properties = method.parameters.model_json_schema()["properties"]
    recipe = RECIPES[method.name]
    settings = recipe.settings.model_json_schema()["properties"]
    return {
        "name": method.name,
        "title": method.title,
        "summary": method.summary,
        "source": method.source,
        "shows": sorted({"attention", *method.shows}),
        "magnifications": list(method.magnifications),
        "parameters": [{"name": name, **about} for name, about in properties.items()],
        "training": {"source": recipe.source, "settings": [{"name": name, **about} for name, about in settings.items()]},
    }


def method_text(about: Mapping[str, Any], *, full: bool) -> str:
    """Put a method in a line for people, or in `full` with a line for each hyper-parameter."""
    line = f"{about['name']:<10} {about['title']}: {about['summary']}"
    if not full:
        return line
    lines = [line, f"  {about['source']}", f"  shows {', '.join(name.replace('_', ' ') for name in about['shows'])}"]
    lines += [_parameter_text(parameter) for parameter in about["parameters"]]
    lines.append("  training, also by --set:")
    lines += [_parameter_text(setting) for setting in about["training"]["settings"]]
    return "\n".join(lines)


def _parameter_text(about: Mapping[str, Any]) -> str:
    choice = f" ({' | '.join(map(str, about['enum']))})" if "enum" in about else ""
    guess = ", a guess" if about["guess"] else ""
    return f"  {about['name']} = {about['default']}{choice}: {about['description']} [{about['source']}{guess}]"
