"""The command line: parse, call the codec, render. Nothing else prints."""
