"""The review loop's parts that need neither database nor model: what to review, and the sheet that people fill in."""
