"""What a run leaves behind: its folder, pictures, final table, model card, and the way to the Hub."""
