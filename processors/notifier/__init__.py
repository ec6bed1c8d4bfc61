"""The notifier: transitions of alerts become messages, each told once, to receivers that do not wait for each other."""
