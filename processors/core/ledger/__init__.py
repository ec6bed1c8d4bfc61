"""All facts of one source partition: add them, let time pass, drain what changed."""
