"""Proximal policy optimisation from a reward model, ours.

    settings.py    what a run may be told                     kl.py          the penalty's coefficient
    model.py       one frozen base, several adapters          advantages.py  generalised advantage estimation
    rollouts.py    answers, through the `Sampler`             losses.py      clipped policy and value losses
    scoring.py     what the frozen models say of them         rewards.py     a reward for each token
    train.py       the stage: rollouts, rewards, epochs     milestones.py  policies kept for a watch to judge

Units are the papers': Schulman et al. 2017 (arXiv:1707.06347) and 2015 (arXiv:1506.02438), Ziegler et al. 2019
(arXiv:1909.08593), Ouyang et al. 2022 (arXiv:2203.02155). KL is in nats per answer unless a name says token.
"""
