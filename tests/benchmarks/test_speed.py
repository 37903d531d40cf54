"""The benchmark of speed, as a toy; and its yardstick, which handed our weights learns what our trainer learns."""

import json

import pytest
import torch

from benchmarks import record, speed
from benchmarks.plain import PlainTrainer
from snerv_codec.model.architectures import paper_config
from snerv_codec.training.frames import FrameSet
from snerv_codec.training.settings import FitSettings
from snerv_codec.training.trainer import make_trainer

CONFIG = paper_config((16, 2, 3), (2, 2, 2, 2, 1), 16, 2)


def handed_over(trainer):
    """A plain trainer with the same weights."""
    plain = PlainTrainer(trainer.frames.frames, CONFIG, torch.device("cpu"))
    ours = [p.detach() for p in trainer.networks.encoder.parameters()]
    # Stage by stage ours are: kernel and norm (or the other way round), depthwise, norm, two layers, and the scale.
    theirs = []
    for i in range(5):
        down, norm = plain.encoder.down[i], plain.encoder.norm[i]
        block = (plain.encoder.deep[i], plain.encoder.inner[i], plain.encoder.expand[i], plain.encoder.project[i])
        stage = [*(p for module in ((down, norm) if i == 0 else (norm, down)) for p in module.parameters())]
        theirs += [*stage, plain.encoder.scale[i], *(p for module in block for p in module.parameters())]
    decoder = plain.decoder
    lifted = [
        [lift, merge, *decoder.residuals[4 * i : 4 * i + 4]]
        for i, (lift, merge) in enumerate(zip(decoder.lift, decoder.merge, strict=True))
    ]
    modules = [decoder.stem, *decoder.up, *lifted[0], *lifted[1], decoder.low]
    theirs += [p for module in modules for p in module.parameters()]
    high = dict(trainer.networks.decoder.high.named_parameters())
    ours += [p.detach() for name, p in trainer.networks.decoder.named_parameters() if not name.startswith("high")]
    for name, branches in (("split", decoder.split), ("restore", decoder.restore)):
        for kind in ("weight", "bias"):
            ours += high[f"{name}.{kind}"].detach().chunk(3)
            theirs += [getattr(branch, kind) for branch in branches]
    assert sum(p.numel() for p in theirs) == sum(p.numel() for p in plain.parameters)
    with torch.no_grad():
        for mine, other in zip(ours, theirs, strict=True):
            other.copy_(mine)
    return plain


def test_the_yardstick_learns_the_same():
    torch.manual_seed(0)
    frames = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
    trainer = make_trainer(FrameSet(frames, CONFIG), CONFIG, FitSettings.preset("paper", learning_rate=1e-3))
    plain = handed_over(trainer)
    for number in (0, 1, 1, 0):
        expected = trainer.advance(torch.tensor([number]))[0].item()
        assert plain.step(number) == pytest.approx(expected, abs=2e-4)


@pytest.mark.slow
def test_today_is_shown_beside_what_is_on_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "CONFIGS", {"toy": CONFIG})
    for name, value in (("SIDES", {"cpu": 64}), ("REPEATS", 1), ("WARM_UP", 1), ("FRAMES", 4)):
        monkeypatch.setattr(speed, name, value)
    speed.main(["--device", "cpu", "--profile", "--record"])
    values = json.loads((tmp_path / "speed.jsonl").read_text())["results"]["toy"]
    assert values["step_ms"] == pytest.approx(values["ms_a_frame"]["paper"])
    rate = values["step_gflop"] / (values["step_ms"] / 1e3)
    assert values["fitting_share"] == pytest.approx(rate / values["matrix_gflops"])
    assert "aten::convolution_backward" in values["profile"]["step"]["by_operation"]
    assert values["write_symbols_per_s"] > 0
    capsys.readouterr()
    speed.main(["--device", "cpu"])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "fitting_share" in line)
    _, today, on_record, change = line.split()
    assert float(on_record) == pytest.approx(values["fitting_share"], rel=1e-3)
    assert float(change.rstrip("%")) / 100 == pytest.approx(float(today) / float(on_record) - 1, rel=0.01, abs=0.01)
