"""A second decoder, written from SPEC.md and nothing else: bytes of a file in, pixels out; slow, and without checks.

`files` reads sections 1 to 6 and 8, `symbols` section 7, `network` section 9. Nothing here imports the codec.
"""
