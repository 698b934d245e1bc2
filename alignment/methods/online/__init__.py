"""What the methods that sample while they train share (ppo, rloo, grpo, online-dpo, constitution).

One frozen base with several adapters, rollouts, rewards per token, prompts, and publishing the policy to vLLM.

What may not be done here: an update of the weights; that is each method's own.
"""
