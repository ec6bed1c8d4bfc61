"""The live numbers in memory."""
