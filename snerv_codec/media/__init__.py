"""Videos in and out, through PyAV. Pictures are uint8 RGB arrays (H, W, 3) throughout."""
