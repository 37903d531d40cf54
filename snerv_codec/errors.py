"""Errors that a user can act on; the command line prints their one line and exits.

UserError
├── InputError    the input cannot be used: missing, not a video, damaged, changes its size midway
├── OutputError   the output cannot be written: exists, no permission, disk full, unknown kind
├── SettingsError settings that contradict each other, the video or the machine
└── ResourceError memory or a device is missing; the message says what to lower
"""


class UserError(Exception):
    """Base of every error with a message for the user: which file, what is wrong, what to do."""


class InputError(UserError):
    """The input cannot be used."""


class OutputError(UserError):
    """The output cannot be written."""


class SettingsError(UserError):
    """The settings cannot be met."""


class ResourceError(UserError):
    """Not enough memory, or no such device."""
