"""Where the features of a study come from: slides and an encoder, or files that somebody made; and bags of them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_wsimil.bags.feature_files import inspect_features, read_places
from napari_wsimil.encoders import lasting_name, load_encoder, load_network
from napari_wsimil.errors import TrainingError
from napari_wsimil.inference.extraction import patch_specs
from napari_wsimil.packages import EncoderReference
from napari_wsimil.patches import PatchSpec
from napari_wsimil.training.bag_sets import EncodedImageBags, FileBags, ImageFolderBags, SlideBags
from napari_wsimil.training.bag_sets.kinds import kind_of_cases
from napari_wsimil.training.events import Event
from napari_wsimil.training.pace import Pace
from napari_wsimil.training.runs.image_folders import check_method, check_settings, check_side, images_of, same_mpp
from napari_wsimil.training.runs.plan import usual_mpps

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from napari_wsimil.bags.feature_files import FeatureFile
    from napari_wsimil.encoders import Encoder
    from napari_wsimil.packages import Model
    from napari_wsimil.training.bag_sets import BagSet
    from napari_wsimil.training.data.manifest import Case, Manifest
    from napari_wsimil.training.runs.plan import TrainingPlan

UNKNOWN = "unknown"
Bags = FileBags | SlideBags | ImageFolderBags | EncodedImageBags


@dataclass(frozen=True)
class Source:
    """What makes bags of cases.

    Attributes
    ----------
    reference
        The encoder, as a package names it.
    specs
        How patches are cut, coarse to fine; for files as far as they say.
    encoder
        The encoder itself where slides or images are to be encoded; None: features are in files.
    store
        Folder of features of slides.
    device
        Where to encode.
    notices
        What a user should know of the features.
    images
        Cases are folders of patch images.
    learns
        The encoder is where training begins, and learns along: bags are of images.
    """

    reference: EncoderReference
    specs: tuple[PatchSpec, ...]
    encoder: Encoder | None = None
    store: Path | None = None
    device: str = "auto"
    notices: tuple[str, ...] = ()
    images: bool = False
    learns: bool = False

    @property
    def mpps(self) -> tuple[float, ...]:
        """Magnifications in µm per pixel, coarse to fine."""
        return tuple(spec.mpp for spec in self.specs)

    def bags(self, manifest: Manifest, cases: Sequence[Case]) -> Bags:
        """Open bags of some cases.

        Raises
        ------
        TrainingError
            They are of another kind, or their features do not fit.
        """
        targets = [manifest.target(case) for case in cases]
        if self.learns:
            return ImageFolderBags(cases, targets, mpp=self.mpps[-1])
        if self.encoder is not None and self.images:
            return EncodedImageBags(cases, targets, self.encoder, mpp=self.mpps[-1], device=self.device)
        if self.encoder is not None:
            store = self.store or Path("features")
            return SlideBags(cases, targets, self.encoder, self.specs, store=store, device=self.device)
        chosen = [_only(case, self.mpps) for case in cases]
        found = FileBags(chosen, targets, mpp=self.mpps[-1])
        if found.width != self.reference.dimension:
            raise TrainingError(
                f"{chosen[0].path} has {found.width} features for each patch, but {self.reference.dimension} are needed; use "
                f"features of encoder {self.reference.id}."
            )
        return found


def find_source(plan: TrainingPlan, manifest: Manifest, magnifications: tuple[int, int | None]) -> Source:
    """Find out where the features of a plan come from.

    Parameters
    ----------
    magnifications
        Least and most that the method looks at; where files hold more, it gets the finest.

    Raises
    ------
    TrainingError, ModelError
        Cases of different kinds, features that do not fit the encoder or the magnifications; one sentence says what.
    """
    kind = kind_of_cases(manifest.cases)
    check_settings(plan, kind)
    if kind == "images":
        return _from_images(plan, manifest, magnifications)
    if kind == "slides":
        encoder = load_encoder(plan.encoder)
        specs = patch_specs(encoder, plan.mpps or usual_mpps(plan.method, encoder.mpp, plan.parameters), plan.patch_size)
        _check_count(plan.method, [spec.mpp for spec in specs], magnifications)
        reference = EncoderReference.to(encoder, lasting_name(plan.encoder))
        return Source(reference, specs, encoder, plan.store or plan.out / "features", plan.device)
    return _from_files(plan, manifest, magnifications)


def source_of(model: Model, manifest: Manifest, *, store: Path, device: str) -> Source:
    """Where the features for a finished model come from, by what the manifest names."""
    spec, kind = model.spec, kind_of_cases(manifest.cases)
    if kind == "images":
        return _images_for(model, manifest, device)
    if kind == "slides":
        # says in its sentence where the encoder is not there
        model.encoder.to("cpu")
        return Source(spec.encoder, spec.patch_specs(), model.encoder, store, device)
    files = _files(manifest.cases[0])
    made_by = {file.encoder for file in files} - {""}
    if made_by and spec.encoder.id not in {*made_by, UNKNOWN}:
        raise TrainingError(
            f"{files[0].path} was made by encoder {', '.join(made_by)}, but the model takes features of {spec.encoder.id}; "
            "give features of that encoder."
        )
    return Source(spec.encoder, spec.patch_specs())


def prepare(*sets: BagSet) -> Generator[Event, None, None]:
    """Make all features of slides that are not stored yet, telling how far it is several times a second."""
    slides = [(bags, row) for bags in sets if isinstance(bags, SlideBags) for row in range(len(bags))]
    pace, total = Pace(), len(slides)
    for done, (bags, row) in enumerate(slides):
        with closing(bags.steps(row)) as steps:
            for progress in steps:
                left = pace.left(done + progress.done / max(progress.total, 1), total)
                told: dict[str, Any] = {"what": bags.names[row], "done": done, "total": total, "seconds_left": left}
                doing = {"doing": progress.stage, "patches": progress.done, "of": progress.total}
                yield Event("progress", "features", data=told | doing)
        pace.passed(done + 1)


def _from_images(plan: TrainingPlan, manifest: Manifest, magnifications: tuple[int, int | None]) -> Source:
    check_method(plan.method)
    learns = plan.chosen_settings().train_encoder
    if learns:
        # says in its sentence that an encoder that others made can't learn
        load_network(plan.encoder)
    encoder = load_encoder(plan.encoder)
    side, said = images_of(manifest.cases, manifest.path)
    check_side(side, encoder, plan)
    mpps = plan.mpps or (encoder.mpp if said is None else said,)
    _check_count(plan.method, mpps, magnifications)
    notices: tuple[str, ...] = ()
    if not plan.mpps and said is None:
        notices = (
            f"Nothing says at which magnification the patches were cut; they are taken to be at {mpps[0]:g} µm per pixel (give "
            "--mpp or a column mpp where that is wrong): slides will be read so.",
        )
    reference = EncoderReference.to(encoder, lasting_name(plan.encoder))
    cut = (PatchSpec(mpps[0], side, side),)
    return Source(reference, cut, encoder, device=plan.device, notices=notices, images=True, learns=learns)


def _images_for(model: Model, manifest: Manifest, device: str) -> Source:
    spec = model.spec
    check_method(spec.method)
    model.encoder.to("cpu")
    side, mpp = images_of(manifest.cases, manifest.path)
    if side != spec.patch_size or not same_mpp(mpp, spec.mpps[-1]):
        have = f"{side} px" if mpp is None else f"{side} px at {mpp:g} µm per pixel"
        raise TrainingError(
            f"{manifest.path} names patches of {have}, but the model takes {spec.patch_size} px at {spec.mpps[-1]:g}; cut "
            "them so."
        )
    return Source(spec.encoder, spec.patch_specs(), model.encoder, device=device, images=True)


def _from_files(plan: TrainingPlan, manifest: Manifest, magnifications: tuple[int, int | None]) -> Source:
    files = _files(manifest.cases[0])
    assumed = plan.mpps[-1] if len(plan.mpps) == 1 else 0.5
    have = {round(assumed if file.mpp is None else file.mpp, 6): file for file in files}
    wanted = _wanted(plan, sorted(have, reverse=True), magnifications)
    reference, notices = _reference(plan, have[wanted[-1]])
    cut = [_cut(have[mpp], mpp, plan.patch_size) for mpp in wanted]
    if any(found is None for found in cut):
        notices += (
            f"{files[0].path.name} does not say how its patches were cut; they are taken to be of "
            f"{plan.patch_size or 256} px at {wanted[-1]:g} µm per pixel without overlap (give --mpp and --patch-size where "
            "that is wrong).",
        )
    # a package has one side and one stride, that of the finest patches
    size, stride = next((found for found in reversed(cut) if found), (plan.patch_size or 256, plan.patch_size or 256))
    return Source(reference, tuple(PatchSpec(mpp, size, stride) for mpp in wanted), notices=notices)


def _wanted(plan: TrainingPlan, have: Sequence[float], magnifications: tuple[int, int | None]) -> list[float]:
    most = magnifications[1]
    asked = sorted(plan.mpps, reverse=True)
    listed = ", ".join(f"{mpp:g}" for mpp in have)
    for mpp in asked:
        if mpp not in have:
            raise TrainingError(f"{plan.manifest} names features at {listed} µm per pixel, none at {mpp:g}; ask for those.")
    wanted = asked or list(have if most is None else have[-most:])
    _check_count(plan.method, wanted, magnifications)
    return wanted


def _check_count(method: str, mpps: Sequence[float], magnifications: tuple[int, int | None]) -> None:
    least, most = magnifications
    if len(mpps) < least or (most is not None and len(mpps) > most):
        number = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
        raise TrainingError(
            f"{method} looks at {number} magnification{'s' * (number != '1')}, but {len(mpps)} were given "
            f"({', '.join(f'{mpp:g}' for mpp in mpps)} µm per pixel); give as many (--mpp)."
        )


def _files(case: Case) -> list[FeatureFile]:
    return [inspect_features(path) for path in case.files or (case.path,)]


def _only(case: Case, mpps: Sequence[float]) -> Case:
    """The case with its files at these magnifications only."""
    if not case.files:
        return case
    kept = tuple(file.path for file in _files(case) if file.mpp is None or round(file.mpp, 6) in mpps)
    if not kept:
        raise TrainingError(
            f"{case.name} has no features at {', '.join(f'{mpp:g}' for mpp in mpps)} µm per pixel; extract them."
        )
    return replace(case, path=kept[0], files=kept if len(kept) > 1 else ())


def _reference(plan: TrainingPlan, file: FeatureFile) -> tuple[EncoderReference, tuple[str, ...]]:
    """The encoder that made a file: one that is here where digests or the user say so, else by name only."""
    encoder = load_encoder(plan.encoder)
    named = lasting_name(plan.encoder)
    if file.encoder_digest == encoder.digest:
        return EncoderReference.to(encoder, named), ()
    told = plan.encoder != "bundled"
    if told and file.encoder in {"", *getattr(encoder.spec, "also_called", ())} and file.width == encoder.dimension:
        says = f"says that {file.encoder} made it" if file.encoder else "does not say which encoder made it"
        return EncoderReference.to(encoder, named), (f"{file.path.name} {says}; it is taken to be {encoder.id}, as you say.",)
    if told:
        by = f"by encoder {file.encoder}" if file.encoder else f"with {file.width} features for each patch"
        raise TrainingError(
            f"{file.path} was made {by}, not by {encoder.id} ({encoder.dimension} features); name the encoder that made it, "
            "or none."
        )
    name = file.encoder or UNKNOWN
    return EncoderReference(name="", id=name, digest="", dimension=file.width), (
        f"The features were made by {'an encoder that they do not name' if name == UNKNOWN else f'encoder {name}'}, which "
        "is not here: the model will take such features, but no slides.",
    )


def _cut(file: FeatureFile, mpp: float, size: int | None) -> tuple[int, int] | None:
    """Side and distance of the patches of a file, in pixels; None where it does not say and nobody did."""
    places = read_places(file.path) if file.has_places else None
    if places is not None and file.mpp is not None and 32 <= places.size <= 4096:
        return places.size, places.stride
    return None if size is None else (size, size)
