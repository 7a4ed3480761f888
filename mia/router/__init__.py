"""Between what was learned and what is done: how likely a trade is to succeed."""
