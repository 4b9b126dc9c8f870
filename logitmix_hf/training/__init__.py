"""Every training: check, load, train, judge, write, push."""
