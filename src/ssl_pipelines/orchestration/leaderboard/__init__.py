"""The leaderboard: every method at one fixed budget, a file a row. budgets: what all get alike; plans: what a row is made from;
jobs: how one is made, in a process of its own; board: all of them, and the page."""
