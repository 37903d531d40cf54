"""Videos in and out, through PyAV. Pixels are uint8 RGB arrays (H, W, 3) throughout."""
