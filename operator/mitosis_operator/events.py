"""Reasons of the Events that the operator writes, beside those of conditions that changed.

Every change of a condition's status or reason is an Event too, with the condition's reason and
message; each refusal is such a change.
"""

from enum import StrEnum


class Reason(StrEnum):
    SHARD_CREATED = "ShardCreated"
    SHARD_DELETED = "ShardDeleted"
    PRIMARY_CHOSEN = "PrimaryChosen"
    VOLUME_CREATED = "VolumeCreated"
    VOLUME_RETIRED = "VolumeRetired"
    VOLUME_DELETED = "VolumeDeleted"
    POD_CREATED = "PodCreated"
    POD_DELETED = "PodDeleted"
    CERTIFICATE_MADE = "CertificateMade"
    PUBLISHED = "Published"
    ASKED = "AgentAsked"
    REFUSED = "ActionRefused"
    """The API server or an agent said no to a step; the message has its reason."""
