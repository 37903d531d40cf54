"""What the symbols of a fitted model cost: in our coder, in the paper's Huffman code, and at their entropy.

    python -m benchmarks.trials.entropy [FILE.snrv] [--epochs N] [--record]

Without a file, the package's clip is encoded first. All figures are bytes of the same symbols; scales,
offsets and headers cost the same in each case and are left out.

ours      as in the file: tables included
curves    the same without guesses, each tensor's symbols as they are
huffman   one code over the symbols of all tensors (paper, section 4.1), the sum of its code lengths as the
          published pipeline estimates it; its table is not counted, nor is an end mark
entropy   the sum of the tensors' order-0 entropies; what tables would cost is not counted

Fails where ours is not below Huffman, or is more than 1 % above the entropy.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from benchmarks.record import write_record
from snerv_codec import EncodeSettings, encode
from snerv_codec.bitstream.container import StreamFile
from snerv_codec.bitstream.drafts import encode_symbols, encode_tensors
from snerv_codec.bitstream.fitting import entropy
from snerv_codec.bitstream.types import QuantizedTensor
from snerv_codec.training.settings import FitSettings

Counts = npt.NDArray[np.int64]

CLIP_SIZE, CLIP_EPOCHS = "300k", 40
WITHIN = 0.01  # of the entropy


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and perhaps record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a .snrv file of a fitted model")
    parser.add_argument("--epochs", type=int, default=CLIP_EPOCHS, help="of the clip's fit, without a file")
    parser.add_argument("--record", action="store_true", help="add a line to results/trials/entropy.jsonl")
    options = parser.parse_args(argv)
    if options.file is not None:
        source, results = {"file": options.file.name}, measure(read_tensors(options.file))
    else:
        source = {"clip": "demo/bunny.mp4", "size": CLIP_SIZE, "epochs": options.epochs}
        results = measure(fit_tensors(options.epochs))
    for name, value in results.items():
        print(f"{name:>16}  {value:,.0f}" if name != "symbols" else f"{name:>16}  {value:,}")
    ours, huffman, least = results["ours"], results["huffman"], results["entropy"]
    print(f"{'ours':>16}  {ours / huffman - 1:+.2%} against huffman, {ours / least - 1:+.2%} against entropy")
    if options.record:
        print(write_record("trials/entropy", {"source": source}, {"bytes": results}), file=sys.stderr)
    if ours >= huffman or ours > (1 + WITHIN) * least:
        raise SystemExit("the coder misses its marks")


def measure(tensors: Sequence[QuantizedTensor]) -> dict[str, float]:
    """Bytes of the tensors' symbols in each of the three ways, and how many symbols they are."""
    counts = [np.bincount(tensor.symbols) for tensor in tensors]
    return {
        "symbols": sum(tensor.symbols.size for tensor in tensors),
        "ours": sum(len(data) for _, data in encode_tensors(tensors)),
        "curves": sum(len(encode_symbols(tensor.symbols, tensor.bits)[1]) for tensor in tensors),
        "huffman": huffman_bits(pool(counts)) / 8,
        "entropy": sum(map(entropy, counts)) / 8,
    }


def pool(counts: Iterable[Counts]) -> Counts:
    """The counts of all tensors' symbols together."""
    counts = list(counts)
    pooled = np.zeros(max(map(len, counts)), np.int64)
    for each in counts:
        pooled[: len(each)] += each
    return pooled


def huffman_bits(counts: Counts) -> int:
    """Bits that symbols occurring `counts` times take in the best prefix code: the weights of its inner nodes."""
    nodes = counts[counts > 0].tolist()
    heapify(nodes)
    total = 0
    while len(nodes) > 1:
        merged = heappop(nodes) + heappop(nodes)
        total += merged
        heappush(nodes, merged)
    return total


def read_tensors(path: Path) -> list[QuantizedTensor]:
    """All tensors of all segments."""
    with StreamFile(path) as file:
        segments = [file.read_segment(i) for i in range(len(file.header.segments))]
    return [tensor for segment in segments for tensor in segment.all_tensors]


def fit_tensors(epochs: int) -> list[QuantizedTensor]:
    """Those of the package's clip, fitted for some epochs by the paper's recipe."""
    settings = EncodeSettings(size=CLIP_SIZE, fit=FitSettings.preset("paper", epochs=epochs))
    clip = files("snerv_codec") / "demo" / "bunny.mp4"
    with as_file(clip) as source, TemporaryDirectory() as folder:
        output = Path(folder) / "clip.snrv"
        encode(source, output, settings)
        return read_tensors(output)


if __name__ == "__main__":
    main()
