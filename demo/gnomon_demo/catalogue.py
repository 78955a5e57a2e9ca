"""The catalogue: models, and how well they did."""

from typing import Any

from sqlalchemy import func, select

import gnomon
from gnomon_demo.database import Database, Evaluation, Model


class NoModel(Exception):  # noqa: N818  # it says what is the matter with an id
    """There is no model of that id."""


class Catalogue:
    """Models, each with its mean score; the list is cached for a minute."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.models = gnomon.cached("models", maxsize=16, ttl=60)(self._models)

    async def evaluations(self, model: str | None, limit: int) -> list[dict[str, Any]]:
        """Return the newest evaluations, of one model or of all."""
        wanted = select(Evaluation).order_by(Evaluation.at.desc()).limit(limit)
        if model is not None:
            wanted = wanted.where(Evaluation.model_id == model)
        async with self._database.session() as session:
            return [
                {"model": e.model_id, "metric": e.metric, "score": e.score, "at": e.at}
                for e in await session.scalars(wanted)
            ]

    async def evaluate(self, model: str, metric: str, score: float) -> None:
        """Write an evaluation down. Raises NoModel."""
        async with self._database.session() as session:
            if await session.get(Model, model) is None:
                raise NoModel(model)
            session.add(Evaluation(model_id=model, metric=metric, score=score))
            await session.commit()

    def forget(self) -> None:
        """Empty the cache."""
        self.models.cache_clear()

    async def _models(self, kind: str | None) -> list[dict[str, Any]]:
        scored = (
            select(Model, func.count(Evaluation.id), func.avg(Evaluation.score))
            .outerjoin(Evaluation)
            .group_by(Model.id)
            .order_by(Model.id)
        )
        if kind is not None:
            scored = scored.where(Model.kind == kind)
        async with self._database.session() as session:
            return [
                {
                    "id": model.id,
                    "kind": model.kind,
                    "name": model.name,
                    "version": model.version,
                    "evaluations": count,
                    "score": None if score is None else round(float(score), 4),
                }
                for model, count, score in await session.execute(scored)
            ]
