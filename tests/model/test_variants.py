"""The ablations and the baseline: what they change, what they weigh, and that no file takes them."""

import pytest
import torch

from snerv_codec.compression.packing import pack_segment
from snerv_codec.compression.rounding import Plain
from snerv_codec.compression.values import values_of
from snerv_codec.errors import SettingsError
from snerv_codec.events import EpochDone
from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import choose_config, decoder_parameters, model_cost
from snerv_codec.model.variants import FORMAT, HNERV, Variant, build_networks, input_shapes, pixel_strides
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

BACKBONE = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 18, 1)
TEMPORAL = paper_config((16, 2, 3), (2, 2, 2, 1, 1), 18, 1, "t", (3, 4, 6))
VARIANTS = [
    (BACKBONE, Variant(fusion=False)),
    (BACKBONE, Variant(restorer=False)),
    (BACKBONE, Variant(fusion=False, restorer=False)),
    (BACKBONE, HNERV),
    (BACKBONE, Variant(fusion=False, restorer=False, full_size="block")),
    (TEMPORAL, Variant(tub=False)),
    (TEMPORAL, Variant(widening=1)),
    (TEMPORAL, Variant(widening=3)),
    (TEMPORAL, Variant(widening=3, fusion=False)),
]


def gradient(count=3):
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 48), indexing="ij")
    frames = [torch.stack((x, y, (x + y + t / count) / 3), dim=-1) for t in range(count)]
    return (torch.stack(frames) * 255).to(torch.uint8)


@pytest.mark.parametrize(("config", "variant"), VARIANTS)
def test_every_variant_learns_with_all_its_parameters(config, variant):
    settings = FitSettings.preset("paper", epochs=8, prune=0, seed=2)
    trainer = make_trainer(FrameSet(gradient(), config, variant=variant), config, settings)
    before = [parameter.clone() for parameter in trainer.networks.parameters()]
    losses = []
    trainer.run(on_event=lambda event: losses.append(event.loss) if isinstance(event, EpochDone) else None)
    assert losses[-1] < losses[0]
    for old, new in zip(before, trainer.networks.parameters(), strict=True):
        assert not torch.equal(old, new)


@pytest.mark.parametrize(("config", "variant"), VARIANTS)
def test_no_file_takes_a_variant(config, variant):
    _, decoder = build_networks(config, variant)
    embeddings = [torch.zeros(1, *shape) for shape in config.embedding_shapes]
    with pytest.raises(ValueError, match="no file can hold it"):
        pack_segment(values_of(decoder, embeddings), Plain(), config, torch.zeros(1, 2))
    _, plain = build_networks(config, FORMAT)
    pack_segment(values_of(plain, embeddings), Plain(), config, torch.zeros(1, 2))


def test_what_the_parts_weigh():
    width = 18 * 5 / 6  # of blocks: 15, 12, 12, 12, 12
    assert width == 15
    whole = decoder_parameters(BACKBONE)
    merge, residuals, lift = 24 * 12 * 9 + 12, 2 * (12 * 12 * 9 + 12), 12 * 12 + 12
    assert decoder_parameters(BACKBONE, Variant(fusion=False)) == whole - 2 * (merge + residuals + lift)
    restorer = 3 * (12 * 12 + 12 + 12 * 3 * 9 + 3)
    assert decoder_parameters(BACKBONE, Variant(restorer=False)) == whole - restorer + 12 * 9 * 9 + 9
    tub = 27 * 12 * 12  # from one of its two 3D convolutions, at widening 1
    wider = decoder_parameters(TEMPORAL, Variant(widening=3)) - decoder_parameters(TEMPORAL)
    assert wider == decoder_parameters(TEMPORAL) - decoder_parameters(TEMPORAL, Variant(widening=1))
    assert wider == 3 * (2 * tub + 12)


def test_the_baseline_is_hnerv_by_its_arithmetic():
    """HNeRV at 3M takes 60.89 GMAC on Bunny and 111.71 on UVG, its encoder included (paper, table 2b, section 4.2)."""
    config = choose_config(640, 1280, 132, 3_000_000, variant=HNERV)
    assert pixel_strides(config, HNERV) == (5, 4, 4, 2, 2)
    assert input_shapes(config, HNERV) == [(3, 640, 1280)]
    cost = model_cost(config, 132, HNERV)
    assert cost.total_parameters == pytest.approx(3e6, rel=0.015)
    assert (cost.decoder_macs + cost.encoder_macs) / 1e9 == pytest.approx(60.89, abs=0.005)
    large = choose_config(960, 1920, 600, 3_000_000, variant=HNERV)
    assert pixel_strides(large, HNERV) == (5, 4, 4, 3, 2)
    cost = model_cost(large, 600, HNERV)
    assert (cost.decoder_macs + cost.encoder_macs) / 1e9 == pytest.approx(111.71, abs=0.005)
    more = Variant(fusion=False, restorer=False, full_size="block")
    assert pixel_strides(config, more) == (5, 4, 2, 2, 2, 2)


def test_variants_are_sized_like_the_model():
    plain = choose_config(640, 1280, 132, 3_000_000)
    for variant in (Variant(fusion=False), Variant(restorer=False), Variant(fusion=False, restorer=False)):
        config = choose_config(640, 1280, 132, 3_000_000, variant=variant)
        assert config.widths[0] >= plain.widths[0]
        assert model_cost(config, 132, variant).total_parameters == pytest.approx(3e6, rel=0.03)


def test_variants_of_what_is_not_there_are_refused():
    for config, variant in ((BACKBONE, Variant(tub=False)), (BACKBONE, Variant(widening=1)), (TEMPORAL, HNERV)):
        with pytest.raises(SettingsError):
            build_networks(config, variant)
    with pytest.raises(SettingsError, match="neither fusion nor restorer"):
        Variant(full_size="block")
