"""The directory's topic may be recreated. Its entries then replace the published ones."""

import logging
from dataclasses import dataclass

from processors.agents.directory_dead_letters import REPORTING_PARTITION
from processors.agents.directory_table import DirectoryTable
from processors.agents.journal_format import SourceLog
from processors.agents.partitions import OwnedPartitions
from processors.agents.publication_target import PublicationTarget
from processors.agents.topic_watch import TopicWatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DirectoryLog:
    """The log from which the published directory was made. The owner of one partition remembers it for all."""

    partitions: OwnedPartitions
    watch: TopicWatch
    reps: DirectoryTable
    read_model: PublicationTarget

    async def publish_new_log(self) -> None:
        """If the directory has another log than before, publish it in the place of the former; raises Unavailable."""
        topic, partition = self.watch.kafka.reps_topic, self.partitions.get(REPORTING_PARTITION)
        found = self.watch.found.get(topic)
        if partition is None or not partition.recovered or found is None or found.topic_id is None:
            return
        known = partition.logs.get(topic, SourceLog()).topic_id
        if known == found.topic_id:
            return
        if known is not None:
            await self._replace(topic)
        partition.set_log(topic, SourceLog(found.topic_id))

    async def _replace(self, topic: str) -> None:
        entries = len(self.reps.offsets)
        logger.warning("%s was made anew: its %d entries replace the published directory", topic, entries)
        await self.read_model.reset_reps()
        for rep_id in await self.read_model.rep_ids() - self.reps.offsets.keys():
            await self.read_model.remove_rep(rep_id, self.reps.reached)
        self.reps.mark_all_changed()
