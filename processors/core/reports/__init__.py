"""What people ask of ledgers: reports, replays, backtests, explanations. No event passes through here."""
