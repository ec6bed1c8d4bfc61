"""What is known of a customer: requests, opportunities, deadlines, the directory of reps."""
