"""Online DPO: fresh answers, ordered by the reward model."""
