"""Public use of watched databases, for mypy --strict; nothing here is run."""

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import gnomon

engine = create_engine("sqlite://")
gnomon.watch_engine(engine)
gnomon.watch_engine(engine, name="desk", slow_seconds=0.25, explain=True)
gnomon.unwatch_engine(engine)

asynchronous = create_async_engine("sqlite+aiosqlite://")
gnomon.watch_engine(asynchronous, name="desk")
gnomon.unwatch_engine(asynchronous)
