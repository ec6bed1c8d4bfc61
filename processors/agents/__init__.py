"""The worker's Faust side: transport of whole batches, intake, journal, timers, directory of reps, metrics."""
