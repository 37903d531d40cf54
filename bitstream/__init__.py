"""The `.snrv` file format: integers and bytes, specified in SPEC.md. Knows nothing of networks."""
