# snerv in a container, for CPU and CUDA alike:
#
#     docker build -t snerv .
#     docker run --rm --gpus all -v "$PWD:/work" snerv encode in.mp4 --size 1M
#
# PyTorch's default build serves both and takes some GB; for a CPU alone, pass the address of its CPU wheels, which
# PyTorch's "Get started" page gives: --build-arg TORCH_INDEX=...
FROM python:3.11-slim

ARG TORCH_INDEX=
COPY setup.cfg pyproject.toml constraints.txt MANIFEST.in README.md LICENSE /src/
COPY bitstream /src/bitstream
COPY snerv_codec /src/snerv_codec
COPY docs /src/docs
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir -c /src/constraints.txt --index-url "$TORCH_INDEX" torch; \
    fi \
    && pip install --no-cache-dir -c /src/constraints.txt '/src[vmaf]' \
    && rm -rf /src

WORKDIR /work
ENTRYPOINT ["snerv"]
CMD ["--help"]
