"""The comparison with the paper: every table that was run, with the printed figures beside ours."""
