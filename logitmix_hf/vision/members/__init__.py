"""Training several subnetworks in one network: who sees which image, and what each answers for (MIMO, MixMo)."""

from logitmix_hf.vision.member_masks import MASKS
from logitmix_hf.vision.members.forward import MemberForward
from logitmix_hf.vision.members.loss import MemberLoss
from logitmix_hf.vision.members.plan import MemberPlan, draw_members, mask_probability, member_weights

__all__ = [
    "MASKS",
    "MemberForward",
    "MemberLoss",
    "MemberPlan",
    "draw_members",
    "mask_probability",
    "member_weights",
]
