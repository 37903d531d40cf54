"""The machine: devices, memory, precision, files and threads; nothing here knows the codec."""
