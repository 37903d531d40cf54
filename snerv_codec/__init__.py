"""SNeRV, a spectra-preserving neural video codec."""
