"""What the prediction benchmark's page says beside its figures."""

from __future__ import annotations

HEAD = """`make bench-predict` writes this page. All ways of one table take turns in one process, each round beginning with
another; rates are medians over the rounds ({rounds}, more for what is quick), ratios are medians of the ratios within a
round. Slides are in the system's memory, not on a cold disk."""

CEILING = """The pipeline goes from the slide's path to a finished feature file: opening, tissue detection, reading,
encoding, writing. The encoder alone has patches of the same slide in memory, computes in the same precision, the one that
was measured to be faster (`auto`), and takes the best of several batch sizes, with all cores on one batch or each core on
batches of its own. ResNet-50 is Hugging Face's with random weights and its usual preprocessing (the 224 px in the middle).
On the CPU it takes the patches of a box on the sample slide, while tissue is looked for on the whole slide; the bundled
encoder takes all patches with tissue and, on the 40x slide in a way of its own, every patch there is, for which no tissue
is looked for.

*Of reading, then encoding*: on a processor both take their time from the same cores, so that a pipeline can't be faster than
1 / (1 / rate of reading alone + 1 / rate of encoding alone), which is 1.00 in that column; a slide at 40x, where a patch is
made of four tiles, takes most of it. On a GPU it is the slower of the two."""

PEERS = """Everybody extracts every patch of 256 px at 0.5 µm per pixel from one slide at 0.25 (levels 1, 4 and 16, mostly
tissue, JPEG tiles of 256 px), from opening the slide to features; nobody looks for tissue. The patches' borders are borders
of tiles, which suits every reader alike. The network has the same weights for all: peers get one instance as `transformers`
hands it out, we load the same files with `load_encoder`. Preprocessing is torchvision's for peers (to tensor, for the
ResNet the 224 px in the middle, normalised) and ours for us. Batches have 64 patches for peers, ours choose their size;
torch may use the same number of cores for all. The *setting* of a peer is the faster of 0 and 2 worker processes in a round
that does not count.

- **TIAToolbox**: `DeepFeatureExtractor.run`, zarr out. **LazySlide**: `tl.feature_extraction`, features in memory, not
  written; also with its own `amp=True` in bf16, for which the module returns float32, as it can't take the result
  otherwise. **WSInfer**: `run_inference`, CSV out; it reads level 0 and resizes. What it gives is the softmax of the
  features.
- We write the feature file. Where the processor is faster in bf16 we compute in it by default; no peer does by default, and
  one can be told to. The rows *fp32* tell what is left without it: channels-last batches, and tiles decoded in threads
  without PIL.
- *Cosine*: between a way's features and ours in fp32 with exact pixels, of the patch that differs most; *centred*: the
  median after the mean over all patches was taken off. Everybody resamples in a way of his own; 0.999 was asked for.
- Peers' imports were done before. WSInfer 0.6.1 does not import beside zarr 3, nor PyPI's torchvision beside a torch for
  the CPU: the benchmark helps both (`make_importable` in `benchmarks/predict_peers.py`). WSInfer's `speedup`, which
  compiles in each run, was off.
- Where peers are better: TIAToolbox and LazySlide hand features on to much that is not here (segmentation, zero-shot
  models, spatial statistics), and WSInfer brings a collection of trained models.
- **TRIDENT** and **CLAM** are missing: neither is on PyPI (`trident` there is something else), and GitHub could not be
  reached from where this was written. Slides whose pixels are not JPEG were not measured: there the reader is OpenSlide for
  us too."""

MEMORY = """- {name}, {patches:.0f} patches of a 40x slide: {peak:.0f} MB resident at most, {loaded:.0f} MB of them before
it was opened."""

FIRST = """- `predict` on the sample slide, a new process, loading the model included: the first provisional heatmap after
{cold:.2f} s, all after {cold_end:.1f} s. Again in the same process: {warm:.2f} s and {warm_end:.1f} s."""
