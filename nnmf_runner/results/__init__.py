"""Records of runs, and tables and figures as functions of them."""
