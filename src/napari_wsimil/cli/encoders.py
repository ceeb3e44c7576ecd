"""The command `encoders`, and the options by which other commands choose one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.encoders.foreign.known import KnownEncoder

ENCODER_HELP = (
    '"bundled", a name of `napari-wsimil encoders`, "hf:owner/name", "timm:name", or the path of a folder or of a program.'
)

trust_code_option = click.option(
    "--trust-code", is_flag=True, help="Let an encoder that is a program (TorchScript, ExportedProgram) run with your rights."
)


@click.command()
@click.argument("name", required=False)
@trust_code_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, for other programs.")
def encoders(name: str | None, *, trust_code: bool, as_json: bool) -> None:
    """List the encoders that are known by name, or tell all about the one called NAME.

    An encoder turns patches into features. NAME may also be what --encoder takes elsewhere; it is loaded then, and downloaded
    where it is not on this computer yet.
    """
    from napari_wsimil.encoders import load_encoder
    from napari_wsimil.encoders.foreign.known import KNOWN

    if name is None:
        found = [describe_encoder("bundled", load_encoder()), *(describe_known(*item) for item in KNOWN.items())]
        click.echo(as_text(found) if as_json else "\n".join(map(encoder_line, found)))
        return
    about = (
        describe_known(name, KNOWN[name])
        if name in KNOWN
        else describe_encoder(name, load_encoder(name, trust_code=trust_code))
    )
    click.echo(as_text(about) if as_json else encoder_text(about))


def as_text(document: Any) -> str:
    """Return the text of a JSON document."""
    return json.dumps(document, indent=2, ensure_ascii=False)


def describe_known(name: str, entry: KnownEncoder) -> dict[str, Any]:
    """Return JSON-able facts of an encoder of the table, and whether it can be used here and now."""
    from napari_wsimil.encoders.foreign.listing import state_of

    return {"name": name, "state": state_of(entry), **entry.model_dump(mode="json", exclude={"architecture", "arguments"})}


def describe_encoder(name: str, encoder: Encoder) -> dict[str, Any]:
    """Return JSON-able facts of a loaded encoder."""
    spec = encoder.spec.model_dump(mode="json", exclude={"training", "schema_version"})
    return {"name": name, "state": "here", "title": encoder.id, "digest": encoder.digest, **spec}


def encoder_line(about: dict[str, Any]) -> str:
    """Put an encoder in a line for people."""
    width = f"{about['dimension']} features" if about["dimension"] else ""
    licence = about.get("licence") or ""
    return f"{about['name']:<14} {about['title']:<32} {width:<14} {licence:<22} {about['state']}".rstrip()


def encoder_text(about: dict[str, Any]) -> str:
    """Put all that is known of an encoder in lines for people."""
    rows = {
        "name": about["name"],
        "title": about["title"],
        "state": about["state"],
        "from": about.get("repo") or about.get("source"),
        "library": about.get("library"),
        "features": about["dimension"],
        "taken from": (about.get("pooling") or "").replace("cls", "class token"),
        "patches": f"{about['patch_size']} px at {about['mpp'] or 'unknown'} µm per pixel",
        "pixels": pixels_text(about),
        "licence": about.get("licence"),
        "gated": f"accept the terms on https://huggingface.co/{about['repo']} first" if about.get("gated") else None,
        "digest": about.get("digest"),
        "checked at": about.get("source") if about.get("repo") else None,
    }
    return "\n".join(f"{label:<11} {value}" for label, value in rows.items() if value)


def pixels_text(about: dict[str, Any]) -> str:
    """Say how an encoder has its patches prepared."""
    pixels = about.get("pixels") or (about if "mean" in about else None)
    if pixels is None:
        return "prepared as its own configuration says"
    steps = []
    if pixels.get("resize"):
        steps.append(f"resized to {pixels['resize'][0]} px ({pixels['interpolation']})")
    if pixels.get("crop"):
        steps.append(f"middle {pixels['crop'][0]} px")
    numbers = [" ".join(f"{value:.4g}" for value in pixels[name]) for name in ("mean", "std")]
    return ", ".join([*steps, f"mean {numbers[0]}, deviation {numbers[1]}"])
