"""Addresses of servers and databases, made safe to show in messages and folder names."""

from __future__ import annotations

import re

_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"
_HOST = r"(\[[^\]]*\]|[^:\[\]]*)(:\d*)?"


def without_secrets(address: str) -> str:
    """The address without user, password, query and fragment.

    A password should be percent-encoded, but may not be. If it is unclear where the password ends, or whether there is
    one, only the scheme is shown.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:  # a path, or a name that the tracker knows
        return "..." if re.search("[@?#;]", address) else address
    if not re.fullmatch(_SCHEME, scheme):
        return "..."
    user, _, place = rest.rpartition("@")
    place = re.split("[?#;]", place)[0]
    is_clear = not re.search("[?#;]", user) and re.fullmatch(_HOST, place.partition("/")[0])
    return f"{scheme}://{place if is_clear else '...'}"


def hide_secrets(text: str) -> str:
    """The text, with each address in it without its secrets."""
    return re.sub(rf"{_SCHEME}://(?:[^\n]*@)?\S+", lambda found: without_secrets(found[0]), text)
