"""Commands that read files or a running system and print: replay, explain, verify, the contract's JSON Schemas."""
