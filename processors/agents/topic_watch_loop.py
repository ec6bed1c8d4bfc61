"""The watch over topics while a worker lives: Faust's own tasks pause in rebalances, this one does not."""

import asyncio
import logging
from collections.abc import Callable
from itertools import count

from aiokafka.errors import KafkaError

from processors.agents.app import WorkerApp
from processors.kafka.connection import first_line
from schemas.errors import Unavailable

logger = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
REFRESH_BEATS = 10
"""Ends of partitions come with every fetch; ids and numbers of partitions are asked for once in so many beats."""


async def watch_topics(app: WorkerApp, restart: Callable[[], None]) -> None:
    """Crash the app when a topic has changed under it; `restart` when the directory is to be read anew. Endless."""
    for beat in count():
        try:
            if beat % REFRESH_BEATS == 0:
                await app.watch.refresh()
            await app.watch.check_ends(app.last_words())
            await _watch_directory(app, restart)
        except (KafkaError, OSError, Unavailable) as error:
            # `kafka_up` and `redis_up` tell; the next beat asks again.
            logger.debug("the topics cannot be checked now: %s", first_line(error))
        except Exception as error:  # noqa: BLE001 -- without this watch, no worker should go on
            await app.crash(error)
            return
        await asyncio.sleep(BEAT_SECONDS)


async def _watch_directory(app: WorkerApp, restart: Callable[[], None]) -> None:
    if await app.watch.directory_is_another(app.reps.reached, app.last_words()):
        logger.warning("%s was made anew: beginning anew to read it from its beginning", app.watch.kafka.reps_topic)
        await app.directory_log.read_model.reset_reps()
        restart()
    else:
        await app.directory_log.settle()
