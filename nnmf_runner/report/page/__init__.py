"""The page: what tables, figures and trees of topics say of some runs, in one file that opens in a browser."""
