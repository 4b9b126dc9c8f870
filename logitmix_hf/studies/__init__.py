"""Studies: a file that names runs, a manifest of their ids, and what starts them; each run stays a command of its own."""
