"""The reward model: pairs by Bradley–Terry, rankings by Plackett–Luce."""
