"""The commands: what each one's flags mean, and the door to what it does."""
