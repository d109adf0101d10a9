"""The training loop: pure steps, states that are saved and found again, what is said when a loss diverges."""
