"""Under which account of the operating system this process runs. Never asks the environment, which anybody may set."""

from __future__ import annotations

import os
import pwd


def account() -> str:
    """The name of the account, or `uid-1000` where it has none, as in a container.

    `getpass.getuser` would believe LOGNAME and USER, and so whoever wants to decide on their own run.
    """
    number = os.getuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid-{number}"
