"""How facts become numbers: one file for each fold, the alerts, and the scoreboards that they post to."""
