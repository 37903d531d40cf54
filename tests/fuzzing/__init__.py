"""Forged `.snrv` files by the thousand: fields changed with knowledge of the format, checksums put right.

`anatomy` finds the fields of a file, `forging` changes them, `trials` does with the result what users do with a file,
and `python -m fuzzing` (in tests/) does that for as long as one likes; `guided` lets atheris look for new ways through
the reader. What was found once lies in `seeds`.
"""
