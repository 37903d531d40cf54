"""From a video to the segments of a file: what is fitted, what it will take, and the fit itself."""
