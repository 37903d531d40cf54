"""SPEC.md, section 9: from tensors and a frame's embeddings to its pixels, in plain numpy and 64-bit floats."""

from math import erf, prod

import numpy as np


def decode(config, tensors, embeddings, side, number):
    """Frame (H, W, 3), not rounded, from the named tensors and the embeddings and side values of a segment's frame."""
    net = _Net(tensors)
    x = gelu(net.conv("stem", embeddings[0]))
    if config.model in ("pixel", "canvas", "sprite"):
        motion = embeddings[1].reshape(2, 4) if config.model == "sprite" else None
        scene = sum(first <= number for first in config.scenes)
        up = up_b(net, config, x, motion, scene)
        return (np.tanh(net.conv("head", up[len(config.strides)])).transpose(1, 2, 0) + 1) / 2
    up = up_b(net, config, x) if config.model == "b" else up_t(net, config, x, embeddings[1])
    return synthesis(fusion(net, config, up), net, config, side)


def fusion(net, config, up):
    first = len(config.strides) - 2
    m = up[first]
    for j in (1, 2):
        m = np.concatenate((net.lift(f"fuse.{j - 1}.up", m), up[first + j]))
        m = net.conv(f"fuse.{j - 1}.merge", m)
        for n in range(config.blocks):
            name = f"fuse.{j - 1}.residuals.{n}"
            m = m + net.conv(f"{name}.conv2", leaky(net.conv(f"{name}.conv1", m)))
    return m


def synthesis(m, net, config, ll_range):
    a = (np.tanh(net.conv("low", m)) + 1) / 2 * (ll_range[1] - ll_range[0]) + ll_range[0]
    split, bands = leaky(net.conv("high.split", m)), []
    weight, bias = net["high.restore"]
    for g in range(3):
        rows, width = slice(3 * g, 3 * g + 3), config.widths[-1]
        bands.append(conv(split[g * width : (g + 1) * width], weight[rows], bias[rows]))
    b, c, d = bands
    frame = np.empty((3, 2 * a.shape[1], 2 * a.shape[2]))
    frame[:, 0::2, 0::2], frame[:, 0::2, 1::2] = (a + b + c + d) / 2, (a + b - c - d) / 2
    frame[:, 1::2, 0::2], frame[:, 1::2, 1::2] = (a - b + c - d) / 2, (a - b - c + d) / 2
    return frame.transpose(1, 2, 0)


def pixels(frame, height, width):
    """8-bit RGB (height, width, 3) of a decoded frame; `np.rint` sends ties to even."""
    return np.rint(255 * frame[:height, :width]).clip(0, 255).astype(np.uint8)


def values(tensor):
    """A tensor's values: product and sum each rounded to binary32."""
    along = [-1 if axis == tensor.axis else 1 for axis in range(len(tensor.shape))]
    scales, offsets = (np.float32(grid).reshape(along) for grid in (tensor.scales, tensor.offsets))
    return (offsets + scales * np.float32(tensor.symbols).reshape(tensor.shape)).astype(np.float64)


def up_b(net, config, x, motion=None, scene=0):
    up = {}
    for i, s in enumerate(config.strides, start=1):
        y = net.conv(f"up.{i - 1}.conv", x)
        assert net[f"up.{i - 1}.conv"][0].shape[2] == config.kernels[i - 1]
        channels, (height, width) = y.shape[0] // s**2, y.shape[1:]
        y = y.reshape(channels, s, s, height, width).transpose(0, 3, 1, 4, 2)
        x = gelu(y.reshape(channels, height * s, width * s))
        if config.canvas is not None and i == config.canvas[0]:
            canvas = net.tensor("canvas.map")
            if motion is not None:
                canvas = warped(whole_canvas(net, config, scene), motion, prod(config.strides[i:]))
                canvas = 2 / (1 + np.exp(-net.conv("canvas.gate", x))) * canvas
            x = x + net.conv("canvas.mix", canvas)
        up[i] = x
    return up


def whole_canvas(net, config, scene):
    """Section 9.5: level by level, the coarsest first."""
    stage, channels, levels = config.canvas
    own, all_channels = slice(scene * channels, (scene + 1) * channels), (len(config.scenes) + 1) * channels
    assert len(net.tensor("canvas.map")) == all_channels
    canvas = net.tensor("canvas.map")[own]
    sides = [side * prod(config.strides[:stage]) for side in config.embedding_shape[1:]]
    for n in reversed(range(levels)):
        height, width = (-(-side // 2**n) for side in sides)
        lh, hl, hh = (band[own] for band in np.split(net.tensor(f"canvas.details.{n}"), 3))
        left, right = unlifted(canvas, lh, 1), unlifted(hl, hh, 1)
        canvas = unlifted(left, right, 2)[:, :height, :width]
    assert canvas.shape == (channels, *sides)
    return canvas


def unlifted(low, high, axis):
    """A level of the 5/3 wavelet along an axis."""
    low, high = np.moveaxis(low, axis, -1), np.moveaxis(high, axis, -1)
    out = np.empty((*low.shape[:-1], 2 * low.shape[-1]))
    for k in range(low.shape[-1]):
        out[..., 2 * k] = low[..., k] - (high[..., max(k - 1, 0)] + high[..., k]) / 4
    for k in range(low.shape[-1]):
        after = min(2 * k + 2, out.shape[-1] - 2)
        out[..., 2 * k + 1] = high[..., k] + (out[..., 2 * k] + out[..., after]) / 2
    return np.moveaxis(out, -1, axis)


def warped(canvas, motion, step):
    """The canvas (M, h, w) by how far the frame's corners look down and to the right, (2, 4), in pixels."""
    height, width = canvas.shape[1:]
    out = np.empty_like(canvas)
    for r in range(height):
        for c in range(width):
            v, u = (r + 0.5) / height, (c + 0.5) / width
            corners = np.array([(1 - v) * (1 - u), (1 - v) * u, v * (1 - u), v * u])
            y, x = (r, c) + motion @ corners / step
            rows, columns = np.floor(y) + np.arange(-1, 3), np.floor(x) + np.arange(-1, 3)
            taps = canvas[:, rows.clip(0, height - 1).astype(int)][:, :, columns.clip(0, width - 1).astype(int)]
            out[:, r, c] = taps @ cubic(x - columns) @ cubic(y - rows)
    return out


def cubic(t, a=-0.75):
    """The kernel of cubic convolution (Keys, 1981) at distances t."""
    t = np.abs(t)
    near, far = ((a + 2) * t - (a + 3)) * t * t + 1, a * (((t - 5) * t + 8) * t - 4)
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def up_t(net, config, x, temporal):
    for i in (1, 2):
        y = net.lift(f"up.blocks.{i - 1}.lift", x)
        z = leaky(net.conv(f"up.blocks.{i - 1}.widen", y))
        x = y + leaky(net.conv(f"up.blocks.{i - 1}.narrow", z))
    outer = []
    scale = config.embedding_shape[1] * prod(config.strides[:2]) // temporal.shape[1]
    for half in np.split(temporal, 2):
        t, left, n = gelu(net.conv("up.enter", half)), scale, 0
        for p in (7, 5, 3, 2):
            while left % p == 0:
                t, left, n = net.lift(f"up.grow.{n}", t), left // p, n + 1
        assert t.shape[1:] == x.shape[1:]
        outer.append(t)
    moments, up = [outer[0], x, outer[1]], {}
    last = len(config.strides)
    for i in range(3, last + 1):
        name = f"up.blocks.{i - 1}"
        weight, bias = net[f"{name}.lift"]
        kernels = zip(np.split(weight, 3), np.split(bias, 3), strict=True)
        y = [lift(moment, *kernel) for moment, kernel in zip(moments, kernels, strict=True)]
        if config.model == "t":
            wide = [leaky(z) for z in conv3d(y, *net[f"{name}.widen"])]
            change = conv3d(wide, *net[f"{name}.narrow"])
            change = change[1:2] if i == last else change
        else:
            wide = leaky(net.conv(f"{name}.widen", np.concatenate(y)))
            change = np.split(net.conv(f"{name}.narrow", wide), 1 if i == last else 3)
        kept = y[1:2] if i == last else y
        moments = [a + leaky(z) for a, z in zip(kept, change, strict=True)]
        up[i] = moments[len(moments) // 2]
        assert up[i].shape[0] == config.widths[i]
    return up


class _Net:
    def __init__(self, tensors):
        self._tensors = tensors

    def __getitem__(self, name):
        return self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]

    def tensor(self, name):
        return self._tensors[name]

    def conv(self, name, x):
        return conv(x, *self[name])

    def lift(self, name, x):
        return lift(x, *self[name])


def conv(x, weight, bias):
    """(in, H, W) with (out, in, k, k), zeros outside."""
    k = weight.shape[2] // 2
    padded = np.pad(x, ((0, 0), (k, k), (k, k)))
    out = np.zeros((len(weight), *x.shape[1:])) + bias[:, None, None]
    for dy in range(weight.shape[2]):
        for dx in range(weight.shape[3]):
            part = padded[:, dy : dy + x.shape[1], dx : dx + x.shape[2]]
            out += np.tensordot(weight[:, :, dy, dx], part, 1)
    return out


def conv3d(moments, weight, bias):
    """A list of (in, H, W) with (out, in, 3, 3, 3), zeros outside; another list as long."""
    nothing = np.zeros_like(moments[0])
    around = [nothing, *moments, nothing]
    return [
        sum(conv(around[t + dt], weight[:, :, dt], bias if dt == 1 else 0 * bias) for dt in range(3))
        for t in range(len(moments))
    ]


def lift(x, weight, bias):
    """Transposed convolution of (in, H, W) with (in, out, s, s), stride s."""
    s = weight.shape[2]
    blocks = np.einsum("ihw,ioyx->ohywx", x, weight) + bias[:, None, None, None, None]
    return blocks.reshape(weight.shape[1], x.shape[1] * s, x.shape[2] * s)


def leaky(x):
    return np.where(x >= 0, x, 0.1 * x)


def gelu(x):
    return x * (1 + np.vectorize(erf)(x / np.sqrt(2))) / 2
