"""What an error is called in a label."""

#: The client left before the response was complete, as far as ASGI tells.
DISCONNECTED = "client_disconnected"

#: The application returned without completing the response.
INCOMPLETE = "incomplete_response"


def error_type(error: BaseException) -> str:
    """Return an exception's class with its module, builtins without."""
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
