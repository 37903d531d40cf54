"""`python -m snerv_codec` is `snerv`."""

from snerv_codec.cli.main import run

if __name__ == "__main__":
    run()
