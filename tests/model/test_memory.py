"""What decoding is said to take: every tensor that is alive, and what the process really takes."""

import subprocess
import sys
from dataclasses import replace
from math import gcd, prod
from pathlib import Path

import pytest
from alive import decoding_peak
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from snerv_codec.bitstream.models import LAYOUTS
from snerv_codec.model.architectures import ARCHITECTURES, paper_config

CONFIGS = [
    ((2, 160, 320), (1, 1, 1, 1, 1), 40, 1),
    ((16, 2, 4), (5, 4, 2, 2, 2), 40, 1),
    ((16, 4, 4), (16, 4, 1, 1, 1), 40, 1, "t2d", (3, 32, 32)),
    ((16, 4, 4), (16, 4, 1, 1, 1), 40, 1, "t", (3, 32, 32)),
    ((4, 20, 40), (4, 4, 2), 40, 0, "pixel"),
    ((4, 20, 40), (4, 4, 2), 40, 0, "canvas", None, (2, 4, 0)),
    ((4, 20, 40), (4, 4, 2), 40, 0, "sprite", None, (2, 4, 0)),
    ((4, 20, 40), (4, 4, 2), 40, 0, "sprite", None, (3, 4, 5)),
    ((4, 20, 40), (4, 4, 2), 40, 0, "sprite", None, (1, 200, 3)),
]
TAKEN = """
import os
import torch
from snerv_codec.model.architectures import build_decoder, paper_config
from snerv_codec.model.blocks import place
from snerv_codec.model.decoder import to_pixels
from snerv_codec.model.sizing import decoder_parameters, decoding_memory
from snerv_codec.runtime.machine import choose_device

def status(key):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(key))

def taken(config):
    device = choose_device("cpu")
    stated, before = decoding_memory(config, decoder_parameters(config), 1), status("VmRSS")
    decoder = build_decoder(config).requires_grad_(False).eval()
    place(decoder, device)
    with torch.inference_mode():
        for _ in range(2):
            frame = decoder([torch.zeros(1, *shape) for shape in config.embedding_shapes], torch.ones(1, 2)).frame
            to_pixels(frame).permute(0, 2, 3, 1).contiguous()
    return (status("VmHWM") - before) / stated

for config in CONFIGS:
    if not os.fork():
        print(config, taken(paper_config(*config)), sep="; ", flush=True)
        os._exit(0)
    os.wait()
"""


@st.composite
def configs(draw):
    model = draw(st.sampled_from(sorted(LAYOUTS)))
    side = st.integers(1, 6)
    shape = draw(st.integers(1, 4 * LAYOUTS[model].scale ** 2)), draw(side), draw(side)
    stages = draw(st.integers(LAYOUTS[model].least_stages, 6))
    strides = tuple(draw(st.lists(st.sampled_from([1, 1, 2, 3, 4, 16]), min_size=stages, max_size=stages)))
    assume(prod(strides) <= 512)
    if LAYOUTS[model].moving:  # eight values of motion are too many for a frame of one pixel
        assume(prod(shape[1:]) * prod(strides) > 1)
    temporal = None
    if LAYOUTS[model].temporal:
        grown = [prod(strides[:2]) * each for each in shape[1:]]
        scale = draw(st.sampled_from([k for k in range(1, 9) if gcd(*grown) % k == 0]))
        temporal = (3, grown[0] // scale, grown[1] // scale)
    blocks = draw(st.integers(0, 3 if LAYOUTS[model].fuses else 0))
    places = st.tuples(st.integers(1, stages), st.integers(1, 4), st.integers(0, 5 if LAYOUTS[model].moving else 0))
    canvas = draw(places) if LAYOUTS[model].canvas else None
    config = paper_config(shape, strides, draw(st.integers(12, 120)), blocks, model, temporal, canvas)
    return replace(config, scenes=draw(st.sampled_from([(), (1,), (3, 9)]))) if LAYOUTS[model].moving else config


@settings(max_examples=30, deadline=None)
@given(configs())
def test_features_are_those_that_are_alive(config):
    """To within a fifth, but where a frame is so small that it does not matter."""
    stated, alive = ARCHITECTURES[config.model].features(config), decoding_peak(config)
    assert 0.8 * alive - 1e5 < stated < 1.2 * alive + 1e5


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell what a process takes")
def test_decoding_takes_what_is_stated():
    code = f"CONFIGS = {CONFIGS}{TAKEN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shares = [float(line.split("; ")[1]) for line in done.stdout.splitlines()]
    assert len(shares) == len(CONFIGS)
    assert all(0.5 < share < 1.25 for share in shares), done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not tell what a process takes")
def test_large_frames_take_about_what_is_stated():
    """Where what libraries take besides does not matter."""
    large = [
        ((2, 320, 640), (1, 1, 1, 1, 1), 64, 2),
        ((16, 6, 6), (16, 4, 1, 1, 1), 64, 1, "t", (3, 64, 64)),
        ((16, 6, 6), (16, 4, 1, 1, 1), 64, 1, "t2d", (3, 64, 64)),
    ]
    code = f"CONFIGS = {large}{TAKEN}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shares = [float(line.split("; ")[1]) for line in done.stdout.splitlines()]
    least = (0.8, 0.75, 0.8)  # on some processors a convolution over time takes less
    assert all(low < share < 1.2 for low, share in zip(least, shares, strict=True)), done.stdout
