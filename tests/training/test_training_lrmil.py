"""LRMIL in five stages: from slides and from features, stopped and resumed, each rule that the official release broke."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
from safetensors.torch import load_file

import napari_wsimil as ws
from napari_wsimil.bags import FeatureBag
from napari_wsimil.encoders import CompactCNN, load_encoder, load_network, save_encoder
from napari_wsimil.errors import TrainingError
from napari_wsimil.mil.adapted import Adapted
from napari_wsimil.packages import EncoderReference, ModelSpec, load_model, save_model
from napari_wsimil.patches.grid import PatchGrid
from napari_wsimil.slides import Slide
from napari_wsimil.training.bag_sets import MemoryBags
from napari_wsimil.training.data.pixels import SlidePixels
from napari_wsimil.training.events import read_events
from napari_wsimil.training.lrmil import lrmil_stages
from napari_wsimil.training.lrmil.distillation import DistillationSettings, EncoderDistillation
from napari_wsimil.training.lrmil.records import StageRecord
from napari_wsimil.training.lrmil.sets import CoarsePatches
from napari_wsimil.training.lrmil.tables import SlideTables
from napari_wsimil.training.lrmil.taps import taps_of
from napari_wsimil.training.recipes.lrmil import RECIPE, LRMILSettings
from napari_wsimil.training.runs.staged import StagedTask

COARSE, FINE, SIDE = 2.0, 0.5, 64
QUICK = {"epochs": 3, "patch_epochs": 2, "patch_batch": 8, "learning_rate": 1e-3}


def write_slide(path, target, seed):
    """Tissue of 768 x 512 px on glass; tumour is a darker quarter of it."""
    random = np.random.default_rng(seed)
    pixels = np.full((1024, 1280, 3), 245, np.uint8)
    block = random.normal((190, 110, 180), 20, (512, 768, 3))
    if target:
        block[128:384, 256:640] -= (60, 60, 20)
    pixels[256:768, 256:1024] = block.clip(0, 255)
    tifffile.imwrite(
        path, pixels, tile=(256, 256), photometric="rgb", resolution=(2e4, 2e4), resolutionunit="CENTIMETER", compression="zlib"
    )
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Folder of a random encoder of small patches."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("lrmil") / "small"
    save_encoder(CompactCNN(), folder, id="small", mean=(0.8, 0.7, 0.8), std=(0.2, 0.2, 0.2), patch_size=SIDE)
    return folder


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Six slides to learn from, and four that choose the epoch."""
    folder = tmp_path_factory.mktemp("lrmil_slides")
    return [write_slide(folder / f"{row}.tiff", row % 2, row) for row in range(10)]


def make_spec(encoder, **changes):
    reference = EncoderReference.to(load_encoder(encoder), str(encoder))
    return ModelSpec(
        **{
            "id": "coarse-student",
            "method": "lrmil",
            "parameters": {"attention": 8},
            "classes": ("normal", "tumour"),
            "encoder": reference,
            "mpps": (COARSE, FINE),
            "patch_size": SIDE,
            "stride": SIDE,
        }
        | changes
    )


class Unread(MemoryBags):
    """Names and targets of slides whose features nobody may ask for."""

    def __init__(self, names, targets):
        super().__init__([FeatureBag({FINE: torch.zeros(1, 1)})] * len(names), targets, names=names)

    def bag(self, row):
        raise AssertionError("features are made from pixels here")


def slide_task(folder, slides, encoder, parameters=None, rows=(range(6), range(6, 10)), **settings):
    spec = make_spec(encoder, parameters={"attention": 8} | (parameters or {}))
    sets = [Unread([f"slide {row}" for row in part], [row % 2 for row in part]) for part in rows]
    pixels = tuple(SlidePixels([slides[row] for row in part], spec.patch_specs()) for part in rows)
    return StagedTask(sets[0], sets[1], LRMILSettings(**QUICK | settings), spec, folder, pixels=pixels)


def finish(task, stop_after=None):
    """(events, result); stopped after so many steps the result is None."""
    events, steps = [], lrmil_stages(task)
    taken = 0
    while True:
        try:
            events.append(next(steps))
        except StopIteration as end:
            return events, end.value
        taken += events[-1].kind in ("step", "progress")
        if taken == stop_after:
            steps.close()
            return events, None


def weights(folder):
    """Every tensor that the stages of a run keep."""
    found = {}
    for path in sorted((folder / "stages").rglob("weights.safetensors")):
        found |= {f"{path.relative_to(folder)} {name}": tensor for name, tensor in load_file(path).items()}
    return found


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, slides, encoder):
    """(folder, events, result) of one whole run from slides."""
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, *finish(slide_task(folder, slides, encoder))


# -- from slides --------------------------------------------------------------------------------------------------------------


def test_five_stages_in_the_only_order_that_works(unbroken):
    folder, events, result = unbroken
    begun = [event.stage for event in events if event.kind == "stage"]
    assert begun == ["1-fine-features", "2-teacher", "3-distillation", "4-coarse-features", "5-student"]
    trained = [event.stage for event in events if event.kind == "finish"]
    assert trained == ["2-teacher", "3-distillation", "5-student"]
    assert result.spec.mpps == (COARSE,)
    assert result.spec.encoder.id == "small-distilled"
    teacher, teacher_spec = result.models["teacher"]
    assert teacher_spec.mpps == (FINE,)
    assert teacher.sure_classifier is None
    assert result.model.sure_classifier is not None
    assert [event.stage for event in read_events(folder / "events.jsonl") if event.kind == "stage"] == begun


def test_lessons_are_attention_and_logits(unbroken):
    """The release stores the bag's vector in place of the attention, and uses logits where weights are needed."""
    folder, _, _ = unbroken
    for side, count in (("train", 6), ("validation", 4)):
        for row in range(count):
            fine = SlideTables(folder / "stages/1-fine-features" / side, "children")
            taught = SlideTables(folder / "stages/2-teacher" / side, "logits")
            attention = taught.table(row, "attention")
            assert attention.shape == (len(fine.table(row, "features")),)
            assert (attention >= 0).all()
            assert attention.sum() == pytest.approx(1, abs=1e-5)
            assert taught.table(row, "logits").shape == (2,)


def test_fine_features_are_those_of_the_encoder(unbroken, slides, encoder):
    """The teacher sees what the encoder gives in prediction: one path for all features."""
    folder, _, _ = unbroken
    spec = make_spec(encoder)
    pixels = SlidePixels(slides[:1], spec.patch_specs())
    grid = pixels.grids(0)[FINE]
    expected = load_encoder(encoder).encode(pixels.read(0, FINE, grid.xy))
    kept = SlideTables(folder / "stages/1-fine-features/train", "children").table(0, "features")
    torch.testing.assert_close(torch.from_numpy(np.array(kept)), expected, rtol=1e-3, atol=1e-4)


def test_the_epoch_is_chosen_by_validation_slides(unbroken):
    """The release keeps the epoch with the least training loss."""
    _, events, _ = unbroken
    for stage, value, best in (("3-distillation", "loss", min), ("5-student", "auc", max)):
        epochs = [event for event in events if (event.kind, event.stage) == ("epoch", stage)]
        told = [event.data["validation"][value] for event in epochs]
        end = next(event for event in events if (event.kind, event.stage) == ("finish", stage))
        assert told[end.data["best_epoch"]] == best(told)
        equal_ones = [epochs[row].data["validation"]["loss"] for row, given in enumerate(told) if given == best(told)]
        assert epochs[end.data["best_epoch"]].data["validation"]["loss"] == min(equal_ones)


def test_the_encoder_learned_and_its_origin_did_not(unbroken, encoder):
    folder, events, result = unbroken
    before, after = load_network(encoder)[1].state_dict(), load_network(result.encoder)[1].state_dict()
    assert not torch.equal(before["stages.3.second.0.weight"], after["stages.3.second.0.weight"])
    told = [event.data["validation"] for event in events if (event.kind, event.stage) == ("epoch", "3-distillation")]
    assert told[-1]["loss"] < told[0]["loss"]
    assert told[0]["loss"] == pytest.approx(told[0]["layers"] + told[0]["final"])
    assert load_encoder(result.encoder).mpp == COARSE
    assert (folder / "stages/3-distillation/encoder/encoder.json").is_file()


@pytest.fixture
def package(unbroken, tmp_path):
    _, _, result = unbroken
    return save_model(tmp_path / "package", result.model, result.spec, encoder=result.encoder)


def test_prediction_reads_coarse_patches_only(package, slides, tmp_path, monkeypatch):
    """No fine file is there, and no fine patch is read; the package brings its encoder wherever it goes."""
    moved = shutil.move(tmp_path / "package", tmp_path / "elsewhere")
    model = load_model(moved)
    assert model.spec.encoder.name == "./encoder"
    asked = []
    usual = Slide.read_patches

    def read_patches(self, xy, size, mpp, **named):
        asked.append((mpp, len(xy)))
        return usual(self, xy, size, mpp, **named)

    monkeypatch.setattr(Slide, "read_patches", read_patches)
    prediction = ws.predict(slides[1], model)
    assert {mpp for mpp, _ in asked} == {COARSE}
    assert sum(count for _, count in asked) == 6  # 768 x 512 px of tissue in squares of 256
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    assert list(prediction.attention) == [COARSE]


def test_prediction_is_what_the_student_said_in_training(package, unbroken, slides):
    folder, _, result = unbroken
    features = SlideTables(folder / "stages/4-coarse-features/train", "features").table(1, "features")
    expected = result.model.probabilities(result.model(FeatureBag({COARSE: torch.from_numpy(np.array(features))})).logits)
    found = ws.predict(slides[1], package).probabilities
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=1e-4)


# -- stopped and resumed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(3, 5, 4, 9, 2, 6), (11,), (1, 1, 20, 7, 1)])
def test_a_run_that_was_stopped_anywhere_ends_as_one_that_was_not(unbroken, slides, encoder, tmp_path, stops):
    for count in stops:
        finish(slide_task(tmp_path, slides, encoder), count)
    events, result = finish(slide_task(tmp_path, slides, encoder))
    assert equal(weights(unbroken[0]), weights(tmp_path))
    assert result.spec.encoder.digest == unbroken[2].spec.encoder.digest
    assert events[0].stage == "1-fine-features"
    kept = [(e.stage, e.epoch) for e in read_events(tmp_path / "events.jsonl") if e.kind == "epoch"]
    assert kept == [(e.stage, e.epoch) for e in unbroken[1] if e.kind == "epoch"]


def test_finished_stages_are_not_repeated(unbroken, slides, encoder):
    folder, _, result = unbroken
    before = {path: path.stat().st_mtime_ns for path in (folder / "stages").rglob("*") if path.is_file()}
    events, again = finish(slide_task(folder, slides, encoder))
    assert [event.kind for event in events] == ["stage"] * 5
    assert all(event.data["finished"] for event in events)
    assert {path: path.stat().st_mtime_ns for path in (folder / "stages").rglob("*") if path.is_file()} == before
    assert again.spec == result.spec
    assert equal(again.model.state_dict(), result.model.state_dict())


@pytest.mark.parametrize(
    ("parameters", "settings", "says"),
    [
        ({}, {"learning_rate": 1e-2}, r"2-teacher was made with learning_rate 0\.001, not 0\.01; repeat it, choose another"),
        ({"attention": 16}, {}, "2-teacher was made with attention 8, not 16"),
        ({}, {"layer_weight": 0.5}, r"3-distillation was made with layer_weight 1\.0, not 0\.5"),
        ({"temperature": 4.0}, {}, r"5-student was made with temperature 2\.0, not 4\.0"),
        ({}, {"form": "adapter"}, "1-fine-features was made with form 'encoder', not 'adapter'"),
    ],
)
def test_other_settings_are_noticed(unbroken, slides, encoder, tmp_path, parameters, settings, says):
    shutil.copytree(unbroken[0], tmp_path / "run")
    with pytest.raises(TrainingError, match=says):
        finish(slide_task(tmp_path / "run", slides, encoder, parameters, **settings))


def test_other_slides_are_noticed(unbroken, slides, encoder, tmp_path):
    shutil.copytree(unbroken[0], tmp_path / "run")
    swapped = [slides[2], *slides[1:]]
    with pytest.raises(TrainingError, match="1-fine-features was made with other slides, labels or features"):
        finish(slide_task(tmp_path / "run", swapped, encoder))


def test_another_encoder_is_noticed(unbroken, slides, tmp_path):
    torch.manual_seed(8)
    save_encoder(CompactCNN(), tmp_path / "e", id="small", mean=(0.8, 0.7, 0.8), std=(0.2, 0.2, 0.2), patch_size=SIDE)
    shutil.copytree(unbroken[0], tmp_path / "run")
    with pytest.raises(TrainingError, match="1-fine-features was made with encoder 'small"):
        finish(slide_task(tmp_path / "run", slides, tmp_path / "e"))


def test_records(tmp_path):
    record = StageRecord(tmp_path / "stage", {"a": 1, "before": ""})
    assert record.results is None
    record.finish({"best": 0.5})
    again = StageRecord(tmp_path / "stage", {"a": 1, "before": ""})
    assert (again.results, again.digest) == ({"best": 0.5}, record.digest)
    with pytest.raises(TrainingError, match="another result of the stage before it"):
        StageRecord(tmp_path / "stage", {"a": 1, "before": "x"})
    (tmp_path / "stage" / "stage.json").write_text("[]")
    with pytest.raises(TrainingError, match="can't be read as the record of a stage; delete the folder"):
        StageRecord(tmp_path / "stage", {"a": 1, "before": ""})
    assert json.loads((tmp_path / "stage" / "stage.json").read_text()) == []


# -- folds --------------------------------------------------------------------------------------------------------------------


def test_every_fold_begins_anew(unbroken, slides, encoder, tmp_path):
    """The release goes on with the encoder of the last fold, which saw this fold's test slides."""
    finish(slide_task(tmp_path / "other", slides, encoder, rows=(range(4, 10), range(4))))
    finish(slide_task(tmp_path / "again", slides, encoder))
    assert equal(weights(tmp_path / "again"), weights(unbroken[0]))
    assert not equal(weights(tmp_path / "other"), weights(unbroken[0]))


# -- parts --------------------------------------------------------------------------------------------------------------------


def test_coarse_patches_without_children_do_not_teach(unbroken, slides, encoder, tmp_path):
    folder, _, _ = unbroken
    shutil.copytree(folder / "stages", tmp_path / "stages")
    fine = SlideTables(tmp_path / "stages/1-fine-features/train", "children")
    taught = SlideTables(tmp_path / "stages/2-teacher/train", "logits")
    children = np.array(fine.table(0, "children"))
    children[2], children[3, 1:] = -1, -1
    fine.save(0, children=children)
    spec = make_spec(encoder)
    bags = Unread(["a"], [0])
    patches = CoarsePatches(bags, SlidePixels(slides[:1], spec.patch_specs()), (COARSE, FINE), fine, taught)
    assert len(patches) == len(children) - 1
    third = patches.bag(2)
    assert third.present.tolist() == [True] + [False] * 15
    assert third.attention[1:].sum() == 0
    features, attention = fine.table(0, "features"), taught.table(0, "attention")
    torch.testing.assert_close(third.final[0], torch.from_numpy(np.array(features[children[3, 0]])))
    assert third.attention[0] == pytest.approx(float(attention[children[3, 0]]))
    corner = fine.table(0, "corners")[3]
    with ws.open_slide(slides[0]) as slide:
        np.testing.assert_array_equal(third.pixels, slide.read_patches(corner[None], SIDE, COARSE)[0])


def test_some_patches_of_each_slide(unbroken, slides, encoder):
    """With a limit each epoch draws other patches, as many from every slide."""
    folder, _, _ = unbroken
    spec = make_spec(encoder)
    stages = folder / "stages"
    patches = CoarsePatches(
        Unread([str(row) for row in range(6)], [row % 2 for row in range(6)]),
        SlidePixels(slides[:6], spec.patch_specs()),
        (COARSE, FINE),
        SlideTables(stages / "1-fine-features/train", "children"),
        SlideTables(stages / "2-teacher/train", "logits"),
    )
    network = taps_of(CompactCNN(), 4)
    recipe = EncoderDistillation(
        network, patches, DistillationSettings(patches=2, batch=5), load_encoder(encoder).spec, (32, 64, 128, 256)
    )
    drawn = []
    for epoch in range(2):
        ((_, batches),) = recipe.phases(epoch, np.random.default_rng(epoch))
        keys = np.concatenate(batches)
        assert [len(batch) for batch in batches] == [5, 5, 2]
        assert np.bincount(patches.slides[keys]).tolist() == [2] * 6
        drawn.append(set(keys.tolist()))
    assert drawn[0] != drawn[1]
    assert recipe.judge(patches) == recipe.judge(patches)


def test_vision_transformers_are_taught_too(unbroken, slides, encoder):
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        image_size=SIDE, patch_size=8, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    torch.manual_seed(0)
    network = taps_of(transformers.ViTModel(config, add_pooling_layer=False), 4)
    assert network.blocks == (0, 1)
    spec = make_spec(encoder)

    class Seen(CoarsePatches):
        def bag(self, row):
            patch = super().bag(row)
            patch.layers, patch.final = torch.ones(16, 32), torch.ones(16, 16)
            return patch

    stages = unbroken[0] / "stages"
    patches = Seen(
        Unread(["a"], [0]),
        SlidePixels(slides[:1], spec.patch_specs()),
        (COARSE, FINE),
        SlideTables(stages / "1-fine-features/train", "children"),
        SlideTables(stages / "2-teacher/train", "logits"),
    )
    settings = DistillationSettings(batch=6, learning_rate=1e-2)
    recipe = EncoderDistillation(network, patches, settings, load_encoder(encoder).spec, (16, 16))
    before = recipe.judge(patches)["loss"]
    for _ in range(10):
        recipe.step("patches", np.arange(6), {key: patches.bag(key) for key in range(6)})
    assert recipe.judge(patches)["loss"] < 0.6 * before


def test_networks_that_nobody_knows():
    with pytest.raises(TrainingError, match=r'layers of a Linear are not known.*choose the form "adapter"'):
        taps_of(torch.nn.Linear(2, 2), 4)


# -- from features ------------------------------------------------------------------------------------------------------------


def feature_set(count, seed=0, width=12, places=True):
    """Tumour slides have a block of fine patches far out; a coarse patch shows a shrunken mixture of its children."""
    random = np.random.default_rng(seed)
    bags, targets = [], np.arange(count) % 2
    for target in targets:
        cells = np.array([(x, y) for y in range(8) for x in range(12)])
        fine = random.normal(size=(len(cells), width)).astype(np.float32)
        if target:
            fine[(cells[:, 0] < 4) & (cells[:, 1] < 4), 0] += 4
        grid = PatchGrid(cells * 64, cells, np.ones(len(cells), np.float32), FINE, SIDE, SIDE, 64.0, 64.0)
        coarse_cells = np.array([(x, y) for y in range(2) for x in range(4)])  # the last column has no child
        coarse_grid = PatchGrid(coarse_cells * 256, coarse_cells, np.ones(8, np.float32), COARSE, SIDE, SIDE, 256.0, 256.0)
        children = coarse_grid.children(grid)
        mean = np.where((children >= 0)[..., None], fine[children], 0).mean(axis=1)
        coarse = -0.5 * mean + random.normal(size=mean.shape) * 0.02
        tables = {COARSE: torch.from_numpy(coarse.astype(np.float32)), FINE: torch.from_numpy(fine)}
        bags.append(FeatureBag(tables, {COARSE: coarse_grid, FINE: grid} if places else None))
    return MemoryBags(bags, targets)


def feature_task(folder, train=None, parameters=None, **settings):
    spec = ModelSpec(
        id="light",
        method="lrmil",
        parameters={"attention": 8} | (parameters or {}),
        classes=("normal", "tumour"),
        encoder=EncoderReference(name="", id="elsewhere", digest="", dimension=12),
        mpps=(COARSE, FINE),
        patch_size=SIDE,
        stride=SIDE,
    )
    chosen = LRMILSettings(**{"form": "adapter", "epochs": 10, "patch_epochs": 10, "learning_rate": 2e-2} | settings)
    return StagedTask(train or feature_set(16), feature_set(8, seed=1), chosen, spec, folder)


@pytest.fixture(scope="module")
def light(tmp_path_factory):
    folder = tmp_path_factory.mktemp("light")
    return folder, *finish(feature_task(folder))


def test_adapter_becomes_part_of_the_package(light, tmp_path):
    folder, _, result = light
    assert result.encoder is None
    assert isinstance(result.model, Adapted)
    assert result.spec.adapter
    package = save_model(tmp_path / "package", result.model, result.spec)
    bag = feature_set(1).bag(0)
    coarse = FeatureBag({COARSE: bag.features(COARSE)})
    torch.testing.assert_close(package.mil(coarse).logits, result.model(coarse).logits)
    trained = load_file(folder / "stages/3-distillation/weights.safetensors")
    assert torch.equal(trained["change.0.weight"], result.model.adapter.change[0].weight)


def test_adapter_learns_what_the_fine_patches_show(light):
    _, events, _ = light
    told = [e.data["validation"] for e in events if (e.kind, e.stage) == ("epoch", "3-distillation")]
    assert told[-1]["final"] < told[0]["final"]
    assert all(values["layers"] == 0 for values in told)


def test_student_follows_its_teacher(light):
    """Both divergences from a sure teacher fall, and the student tells the slides apart by coarse patches alone."""
    _, events, _ = light
    epochs = [e for e in events if (e.kind, e.stage) == ("epoch", "5-student")]
    assert {"loss", "bag", "teacher", "attention"} <= epochs[0].data["losses"].keys()
    for name in ("teacher", "attention"):
        assert epochs[-1].data["losses"][name] < 0.5 * epochs[0].data["losses"][name]
    assert epochs[-1].data["validation"]["auc"] > 0.9


def test_stopped_from_features(light, tmp_path):
    for count in (30, 190, 250):
        finish(feature_task(tmp_path), count)
    finish(feature_task(tmp_path))
    assert equal(weights(light[0]), weights(tmp_path))


def test_surest_patches_teach_what_predicts(tmp_path):
    """Without a projection that loss trains a head that nothing uses; it is refused, not ignored."""
    with pytest.raises(TrainingError, match="needs a projection"):
        finish(feature_task(tmp_path, parameters={"sure_weight": 0.3}))
    events, _ = finish(feature_task(tmp_path, parameters={"sure_weight": 0.3, "projection": 6}, epochs=2, patch_epochs=1))
    assert "sure" in next(e for e in events if (e.kind, e.stage) == ("epoch", "5-student")).data["losses"]


@pytest.mark.parametrize(
    ("changes", "settings", "says"),
    [
        ({}, {"form": "encoder"}, 'needs slides.*features only; choose the form "adapter"'),
        ({"mpps": (FINE,)}, {}, "needs two magnifications"),
        ({}, {"final_weight": 0.0}, "nothing learns to see coarse patches"),
        (
            {"mpps": (4.0, FINE)},
            {},
            r"bag 0 has features at 2, 0\.5 µm per pixel; LRMIL needs them at 4 and 0\.5: extract both",
        ),
    ],
)
def test_tasks_that_do_not_suit(tmp_path, changes, settings, says):
    task = feature_task(tmp_path, **settings)
    object.__setattr__(task, "spec", task.spec.model_copy(update=changes))
    with pytest.raises(TrainingError, match=says):
        finish(task)


def test_features_without_places(tmp_path):
    with pytest.raises(TrainingError, match="bag 0 do not say where their patches lie; extract them with coordinates"):
        finish(feature_task(tmp_path, feature_set(4, places=False)))


def test_patches_that_overlap(slides, encoder, tmp_path):
    task = slide_task(tmp_path, slides, encoder)
    object.__setattr__(task, "spec", task.spec.model_copy(update={"stride": SIDE // 2}))
    with pytest.raises(TrainingError, match="fine patches that fill the coarse ones, but they are 32 px apart"):
        finish(task)


def test_slides_without_a_common_place(slides, encoder, tmp_path):
    glass = tmp_path / "glass.tiff"
    tifffile.imwrite(
        glass,
        np.full((512, 512, 3), 245, np.uint8),
        tile=(256, 256),
        photometric="rgb",
        resolution=(2e4, 2e4),
        resolutionunit=3,
    )
    with pytest.raises(TrainingError, match=r"slide 0 has no patch at 2 µm per pixel with a patch at 0\.5 in it"):
        finish(slide_task(tmp_path / "run", [glass, *slides[1:]], encoder))


def test_from_a_manifest_to_a_package(slides, encoder, tmp_path):
    """The whole way: the run is judged on slides of which only coarse patches are read."""
    pytest.importorskip("sklearn")
    from napari_wsimil.training.runs.run import train

    splits = ["train"] * 4 + ["validation"] * 4 + ["test"] * 2
    lines = [f"{path},{('normal', 'tumour')[row % 2]},{splits[row]}" for row, path in enumerate(slides)]
    (tmp_path / "slides.csv").write_text("\n".join(["slide,label,split", *lines]))
    settings = {"epochs": 1, "patch_epochs": 1}
    asked = {
        "encoder": str(encoder),
        "mpps": (COARSE, FINE),
        "device": "cpu",
        "settings": settings,
        "parameters": {"attention": 8},
    }
    run = train(tmp_path / "slides.csv", "lrmil", tmp_path / "run", **asked)
    assert run.metrics["cases"] == 2
    model = load_model(tmp_path / "run" / "model")
    assert model.spec.mpps == (COARSE,)
    assert model.spec.encoder.name == "./encoder"
    assert load_model(tmp_path / "run" / "model-teacher").spec.mpps == (FINE,)
    prediction = ws.predict(slides[1], str(shutil.copytree(tmp_path / "run" / "model", tmp_path / "moved")))
    assert list(prediction.attention) == [COARSE]


def test_recipe_is_found_with_its_stages():
    from napari_wsimil.training.recipes import RECIPES

    assert RECIPES["lrmil"] is RECIPE
    assert RECIPE.stages is lrmil_stages
    assert LRMILSettings().select == "auc"
