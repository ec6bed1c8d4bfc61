"""The loop that watches the topics while a worker runs. Faust's own tasks pause in rebalances, this one does not."""

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
"""Ends of partitions come with every fetch. Topic ids and partition counts are asked for once in this many beats."""


async def watch_topics(app: WorkerApp, restart: Callable[[], None]) -> None:
    """Crash the app if a topic has changed; call `restart` if the directory must be read anew. Runs until cancelled."""
    for beat in count():
        try:
            if beat % REFRESH_BEATS == 0:
                await app.watch.refresh()
            await app.watch.check_ends(app.known_ends())
            await _watch_directory(app, restart)
        except (KafkaError, OSError, Unavailable) as error:
            # The metrics `kafka_up` and `redis_up` show it. The next beat asks again.
            logger.debug("the topics cannot be checked now: %s", first_line(error))
        except Exception as error:  # noqa: BLE001 -- no worker may go on without this watch
            await app.crash(error)
            return
        await asyncio.sleep(BEAT_SECONDS)


async def _watch_directory(app: WorkerApp, restart: Callable[[], None]) -> None:
    if await app.watch.directory_was_recreated(app.reps.reached, app.known_ends()):
        logger.warning("%s was made anew: beginning anew to read it from its beginning", app.watch.kafka.reps_topic)
        await app.directory_log.read_model.reset_reps()
        restart()
    else:
        await app.directory_log.publish_new_log()
