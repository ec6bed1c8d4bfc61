"""The directory's topic may be made anew: then its entries replace the published ones."""

import logging
from dataclasses import dataclass

from processors.agents.directory_dead_letters import REPORTING_PARTITION
from processors.agents.directory_table import DirectoryTable
from processors.agents.journal_format import SourceLog
from processors.agents.partitions import OwnedPartition, OwnedPartitions
from processors.agents.publication_target import PublicationTarget
from processors.agents.topic_watch import TopicWatch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DirectoryLog:
    """Which log the published directory was made from: the owner of one partition keeps it in mind for all."""

    parts: OwnedPartitions
    watch: TopicWatch
    reps: DirectoryTable
    read_model: PublicationTarget

    async def settle(self) -> None:
        """Publish the directory of another log than before in the former one's place; raises Unavailable."""
        topic, part = self.watch.kafka.reps_topic, self.parts.get(REPORTING_PARTITION)
        found = self.watch.found.get(topic)
        if part is None or not part.recovered or found is None or found.topic_id is None:
            return
        known = part.logs.get(topic, SourceLog()).topic_id
        if known == found.topic_id:
            return
        if known is not None:
            await self._replace(topic)
        self._keep(part, topic, found.topic_id)

    async def _replace(self, topic: str) -> None:
        entries = len(self.reps.offsets)
        logger.warning("%s was made anew: its %d entries replace the published directory", topic, entries)
        await self.read_model.reset_reps()
        for rep_id in await self.read_model.rep_ids() - self.reps.offsets.keys():
            await self.read_model.remove_rep(rep_id, self.reps.reached)
        self.reps.repeat()

    def _keep(self, part: OwnedPartition, topic: str, topic_id: str) -> None:
        part.logs[topic] = SourceLog(topic_id)
        part.spoken = True
