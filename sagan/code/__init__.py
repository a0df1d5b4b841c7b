"""What code a result depends on: found, hashed, and that of users checked and loaded. Without torch."""
