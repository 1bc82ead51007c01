"""What the system tests drive: a running node, and a modality that sends to it."""
