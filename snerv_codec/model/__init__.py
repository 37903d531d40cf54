"""The network: wavelet, encoder, decoder."""
