"""What schemathesis must know beside the description of the API: a source is sent as its bytes."""

import schemathesis


@schemathesis.serializer("application/gzip")
def as_bytes(_context, value):
    return value if isinstance(value, bytes) else str(value).encode()
