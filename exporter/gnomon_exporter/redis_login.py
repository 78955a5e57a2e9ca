"""A connection to Redis, made of a collector's settings."""

from gnomon_exporter.client_connection import Tls, parse_address
from gnomon_exporter.reading import read
from gnomon_exporter.resp import Redis

SCHEMES = {"redis": False, "rediss": True, "valkey": False, "valkeys": True}


class Login:
    """Where a Redis is and as whom to enter.

    address: redis://[user[:password]@]host[:port][/database], rediss:// for TLS, or unix:///path.
    username: ACL user. password_file: file with nothing but the password, read at each login.

    Raises ValueError, whose text begins with the setting's name and shows nothing of the address.
    """

    def __init__(self, address: str, *, username: str, password_file: str, tls: Tls) -> None:
        try:
            self.place = parse_address(address, schemes=SCHEMES, port=6379)
        except ValueError as error:
            raise ValueError(f"address: {error}") from None
        if username and self.place.username:
            raise ValueError("username: the address names a user as well: take one of them out")
        if password_file and self.place.password:
            raise ValueError("password_file: the address has a password: take one of them out")
        self._username = username or self.place.username
        self._password_file = password_file
        self._tls = tls

    def client(self) -> Redis:
        """Return a client that is not yet connected. Raises ValueError without hiredis."""
        try:
            return Redis(
                self.place, username=self._username, password=self._password, tls=self._tls
            )
        except ImportError:
            raise ValueError(
                "hiredis is missing: install gnomon with its extra: exporter"
            ) from None

    def _password(self) -> str:
        if self._password_file:
            return read(self._password_file).rstrip("\r\n")
        return self.place.password
