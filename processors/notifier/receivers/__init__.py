"""The receivers of alerts: one file each; `base` says what a receiver must implement, `configured` lists them."""
